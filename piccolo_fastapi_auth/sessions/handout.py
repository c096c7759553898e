"""Handing out a credential: the answer to a log-in, a refresh or a renewed proof, by transport."""

from typing import Generic, TypeVar

from fastapi import Response
from fastapi.responses import JSONResponse

from piccolo_fastapi_auth.caller import Caller
from piccolo_fastapi_auth.primitives.clock import Clock
from piccolo_fastapi_auth.sessions.access_tokens import AccessTokens
from piccolo_fastapi_auth.sessions.records import Assurance, Identity
from piccolo_fastapi_auth.sessions.schemas import SignedIn, TokenResponse, session_out, user_out
from piccolo_fastapi_auth.transport import Transport
from piccolo_fastapi_auth.users.scopes import OWN, Scopes
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)


class Handout(Generic[UserT]):
    """Writes credentials into responses. The one place where a secret leaves the library."""

    def __init__(
        self,
        *,
        transport: Transport,
        tokens: AccessTokens,
        scopes: Scopes[UserT],
        assurance: Assurance[UserT],
        clock: Clock,
    ) -> None:
        self._transport = transport
        self._tokens = tokens
        self._scopes = scopes
        self._assurance = assurance
        self._clock = clock

    async def signed_in(self, identity: Identity[UserT]) -> SignedIn:
        """Show a person and their session."""
        scopes = await self._scopes.of(identity.user, within=identity.session.scope)
        session = identity.session
        return SignedIn(
            user=user_out(identity, scopes), session=session_out(session, current=session.id)
        )

    async def token_body(self, identity: Identity[UserT], refresh_token: str) -> TokenResponse:
        """Return an access token and the refresh token that goes with it.

        Raises:
            MfaEnrolmentRequiredError: The person must set up a second factor first. An access token is good without
                the database, so there is none that opens the enrolment routes only.
        """
        await self._assurance.check_policy(identity)
        scopes = await self._scopes.of(identity.user, within=identity.session.scope)
        if (
            identity.session.scope is None
        ):  # power over others is in a token only when it is asked for
            scopes = tuple(scope for scope in scopes if scope not in OWN)
        access_token, expires_in = self._tokens.issue(identity.session, scopes=scopes)
        return TokenResponse(
            access_token=access_token,
            expires_in=expires_in,
            refresh_token=refresh_token,
            scope=" ".join(scopes),
        )

    async def answer(
        self,
        identity: Identity[UserT],
        secret: str,
        *,
        caller: Caller | None = None,
        device_cookie: str | None = None,
        trust_cookie: str | None = None,
    ) -> Response:
        """Return the response that carries a credential: a cookie, or tokens in the body."""
        body = await (
            self.signed_in(identity)
            if identity.session.transport == "cookie"
            else self.token_body(identity, secret)
        )
        response = JSONResponse(body.model_dump(mode="json"), headers={"Cache-Control": "no-store"})
        if identity.session.transport == "cookie":
            self.set_cookies(response, identity, secret, device_cookie=device_cookie)
        else:
            if caller is not None and caller.has_cookie:
                # A log-in ended the browser's cookie session: the cookie, good or bad, must not stand beside the token.
                self._transport.clear_cookie(response)
            if device_cookie is not None:
                self._transport.set_device_cookie(response, device_cookie)
        if trust_cookie is not None:
            self._transport.set_trust_cookie(response, trust_cookie)
        return response

    def set_cookies(
        self,
        response: Response,
        identity: Identity[UserT],
        secret: str,
        *,
        device_cookie: str | None,
    ) -> None:
        """Write the cookies of a log-in into a response."""
        self._transport.set_cookie(
            response, secret, expires_at=identity.session.expires_at, now=self._clock()
        )
        if device_cookie is not None:
            self._transport.set_device_cookie(response, device_cookie)
