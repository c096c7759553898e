"""Paths about sessions: show, list, end, refresh, revoke, log out, public keys."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Generic, TypeVar
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import JSONResponse

from piccolo_fastapi_auth.errors import (
    AuthError,
    CredentialNotAcceptedError,
    NotFoundError,
    ReauthenticationRequiredError,
)
from piccolo_fastapi_auth.routing import Guards, Text, refuse_repeated
from piccolo_fastapi_auth.sessions.access_tokens import AccessTokens
from piccolo_fastapi_auth.sessions.authenticator import Authenticator
from piccolo_fastapi_auth.sessions.handout import Handout
from piccolo_fastapi_auth.sessions.schemas import (
    RefreshBody,
    SessionOut,
    SignedIn,
    TokenResponse,
    session_out,
)
from piccolo_fastapi_auth.sessions.service import SessionService
from piccolo_fastapi_auth.settings import AuthSettings
from piccolo_fastapi_auth.transport import ApiKeyCredential, BearerCredential, Transport
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)

KEYS_ARE_CACHED = "public, max-age=300"


class SessionRoutes(Generic[UserT]):
    """The routes of the sessions slice."""

    def __init__(
        self,
        *,
        settings: AuthSettings,
        transport: Transport,
        sessions: SessionService[UserT],
        tokens: AccessTokens,
        authenticator: Authenticator[UserT],
        handout: Handout[UserT],
        guards: Guards,
        revoke_key: Callable[[str], Awaitable[bool]],
    ) -> None:
        self._settings = settings
        self._transport = transport
        self._sessions = sessions
        self._tokens = tokens
        self._authenticator = authenticator
        self._handout = handout
        self._guards = guards
        self._revoke_key = revoke_key

    def add_to(self, router: APIRouter, *, keys: APIRouter) -> None:
        """Add the routes; that of the public keys, which stands outside the prefix (RFC 8615), to ``keys``."""
        signed_in = [Depends(self._guards.current_user)]
        router.add_api_route(
            "/session",
            self.get_session,
            methods=["GET"],
            response_model=SignedIn,
            dependencies=[Depends(self._guards.signed_in)],
        )
        router.add_api_route(
            "/sessions",
            self.list_sessions,
            methods=["GET"],
            response_model=list[SessionOut],
            dependencies=signed_in,
        )
        router.add_api_route(
            "/sessions/{session_id}",
            self.end_session,
            methods=["DELETE"],
            status_code=204,
            dependencies=signed_in,
        )
        router.add_api_route(
            "/sessions", self.end_other_sessions, methods=["DELETE"], status_code=204,
            dependencies=[Depends(self._guards.fresh_user)],
        )  # fmt: skip
        router.add_api_route(
            "/refresh", self.refresh, methods=["POST"], response_model=TokenResponse
        )
        router.add_api_route("/token/revoke", self.revoke_token, methods=["POST"])
        router.add_api_route("/logout", self.log_out, methods=["POST"], status_code=204)
        keys.add_api_route(
            "/.well-known/jwks.json",
            self.get_public_keys,
            methods=["GET"],
            response_model=dict[str, object],
        )

    async def get_session(self, request: Request) -> SignedIn:
        """Show who is signed in, and how."""
        return await self._handout.signed_in(await self._authenticator.required(request))

    async def list_sessions(self, request: Request) -> list[SessionOut]:
        """List all places where the person is signed in, newest first."""
        session = (await self._authenticator.required(request)).session
        return [
            session_out(one, current=session.id)
            for one in await self._sessions.of_user(session.user_id)
        ]

    async def end_session(self, request: Request, session_id: UUID) -> Response:
        """End one sign-in of the person. Any but the one behind the request needs a fresh log-in (ASVS 7.5.2)."""
        session = (await self._authenticator.required(request)).session
        age = self._authenticator.clock() - session.authenticated_at
        if session_id != session.id and age > self._settings.reauthentication_age:
            raise ReauthenticationRequiredError(max_age=self._settings.reauthentication_age)
        if not await self._sessions.end(session_id, user_id=session.user_id, reason="revoked"):
            raise NotFoundError
        response = Response(status_code=204)
        if session_id == session.id and session.transport == "cookie":
            self._transport.clear_cookie(response)
        return response

    async def end_other_sessions(self, request: Request) -> Response:
        """End all sign-ins of the person but the one behind the request. Needs a fresh log-in."""
        session = (await self._authenticator.required(request)).session
        await self._sessions.end_others(session.user_id, but=session.id, reason="revoked")
        return Response(status_code=204)

    async def refresh(self, body: RefreshBody) -> TokenResponse:
        """Exchange a refresh token for a new pair.

        The previous token answers with the same successor for a short grace; after that it ends the session.
        """
        identity, successor = await self._sessions.refresh(body.refresh_token)
        return await self._handout.token_body(identity, successor)

    async def revoke_token(
        self,
        request: Request,
        token: Annotated[Text, Form(max_length=8192)],
        token_type_hint: Annotated[Text | None, Form(max_length=64)] = None,
    ) -> Response:
        """Revoke an access or refresh token with its session, or an API key (RFC 7009); an unknown one is no error."""
        await refuse_repeated(request)
        # The kinds cannot be mistaken for each other, so the hint is not needed (RFC 7009 section 2.1).
        del token_type_hint
        if not (await self._revoke_key(token) or await self._sessions.end_by_refresh_token(token)):
            await self._end_by_access_token(token, reason="revoked")
        return Response(status_code=200)

    async def _end_by_access_token(self, token: str, *, reason: str) -> None:
        try:
            claims = self._tokens.claims(token, even_expired=True)
        except AuthError:
            return
        await self._sessions.end(claims.sid, reason=reason)

    async def log_out(self, request: Request) -> Response:
        """End the session behind the cookie or token presented; without one there is nothing to do."""
        credential = self._transport.credential(request)
        response = Response(status_code=204)
        if isinstance(credential, ApiKeyCredential):
            raise CredentialNotAcceptedError  # it has no session, and a key does not revoke itself by mistake
        if isinstance(credential, BearerCredential):
            await self._end_by_access_token(credential.token, reason="logout")
        elif credential is not None:
            await self._authenticator.check_origin(request)
            if credential.digest is not None:
                await self._sessions.log_out(credential.digest)
            self._transport.clear_cookie(response)
        return response

    async def get_public_keys(self) -> Response:
        """Publish the keys that verify access tokens (RFC 7517); 404 while they are signed with a shared secret."""
        keys = self._tokens.codec.jwks()
        if keys is None:
            raise NotFoundError
        return JSONResponse(keys, headers={"Cache-Control": KEYS_ARE_CACHED})
