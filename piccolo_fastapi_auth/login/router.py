"""Paths that take a password and hand out a credential: log in, token, prove again."""

from typing import Annotated, Generic, TypeVar

from fastapi import APIRouter, Depends, Form, Request, Response
from pydantic import BaseModel, ConfigDict

from piccolo_fastapi_auth.errors import InvalidRequestError
from piccolo_fastapi_auth.login.oauth import InvalidScopeError, UnsupportedGrantTypeError
from piccolo_fastapi_auth.login.schemas import Identifier, LoginBody, VerifyBody
from piccolo_fastapi_auth.login.service import Attempt, LoginService
from piccolo_fastapi_auth.mfa.challenge import Wanted
from piccolo_fastapi_auth.mfa.proof import Prover
from piccolo_fastapi_auth.mfa.schemas import ProofBody
from piccolo_fastapi_auth.routing import Guards, Password, Text, refuse_repeated
from piccolo_fastapi_auth.sessions.authenticator import Authenticator
from piccolo_fastapi_auth.sessions.handout import Handout
from piccolo_fastapi_auth.sessions.schemas import SignedIn, TokenResponse
from piccolo_fastapi_auth.sessions.service import SessionService
from piccolo_fastapi_auth.transport import Transport
from piccolo_fastapi_auth.users.scopes import Scopes
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)


class OAuthProblem(BaseModel):
    """An error response (RFC 6749 section 5.2)."""

    model_config = ConfigDict(defer_build=True)  # as ProblemResponse

    error: str
    error_description: str


class LoginRoutes(Generic[UserT]):
    """The routes of the login slice."""

    def __init__(
        self,
        *,
        transport: Transport,
        login: LoginService[UserT],
        prover: Prover[UserT],
        sessions: SessionService[UserT],
        scopes: Scopes[UserT],
        authenticator: Authenticator[UserT],
        handout: Handout[UserT],
        guards: Guards,
    ) -> None:
        self._transport = transport
        self._login = login
        self._prover = prover
        self._sessions = sessions
        self._scopes = scopes
        self._authenticator = authenticator
        self._handout = handout
        self._guards = guards

    def add_to(self, router: APIRouter) -> None:
        """Add the routes."""
        router.add_api_route(
            "/login", self.log_in, methods=["POST"], response_model=SignedIn,
            dependencies=[Depends(guard) for guard in self._guards.human],
        )  # fmt: skip
        router.add_api_route(
            "/mfa/verify",
            self.verify_mfa,
            methods=["POST"],
            response_model=SignedIn | TokenResponse,
        )
        router.add_api_route(
            "/reauthenticate", self.reauthenticate, methods=["POST"], response_model=SignedIn | TokenResponse,
            dependencies=[Depends(self._guards.signed_in)],
        )  # fmt: skip

    def add_token_to(self, router: APIRouter) -> None:
        """Add the token endpoint, which refuses in RFC 6749's words."""
        refusals: dict[int | str, dict[str, object]] = {
            status: {"model": OAuthProblem} for status in (400, 401, 403, 409, 422, 429, 503)
        }
        router.add_api_route(
            "/token",
            self.token,
            methods=["POST"],
            response_model=TokenResponse,
            responses=refusals,
            dependencies=[Depends(guard) for guard in self._guards.human_password],
        )

    async def log_in(self, request: Request, body: LoginBody) -> Response:
        """Log in with a cookie. A session that the browser already had ends."""
        # Also without a cookie: a foreign page must not log somebody in (log-in CSRF).
        await self._authenticator.check_origin(request)
        caller = self._transport.caller(request)
        wanted = Wanted(body.username, "cookie", caller)
        logged_in = await self._login.log_in(Attempt(wanted, body.password.get_secret_value()))
        return await self._handout.answer(
            logged_in.identity,
            logged_in.secret,
            caller=caller,
            device_cookie=logged_in.device_cookie,
            trust_cookie=logged_in.trust_cookie,
        )

    async def verify_mfa(self, request: Request, body: VerifyBody) -> Response:
        """Finish the log-in that was begun, with a second factor; the answer is what that log-in would have given."""
        await self._authenticator.check_origin(request)
        caller = self._transport.caller(request)
        logged_in = await self._login.complete(
            body.mfa_token,
            method=body.method,
            code=body.code,
            caller=caller,
            trust_device=body.trust_device,
        )
        return await self._handout.answer(
            logged_in.identity,
            logged_in.secret,
            caller=caller,
            device_cookie=logged_in.device_cookie,
            trust_cookie=logged_in.trust_cookie,
        )

    async def token(
        self,
        request: Request,
        *,
        grant_type: Annotated[Text, Form(max_length=64)],
        username: Annotated[Identifier | None, Form()] = None,
        password: Annotated[Password | None, Form()] = None,
        scope: Annotated[Text, Form(max_length=2048)] = "",
        # Empty, not null: Swagger UI fills in "string" for what has no default, and sends it.
        refresh_token: Annotated[Text, Form(max_length=512)] = "",
        mfa_code: Annotated[
            Text, Form(max_length=64, description="The second factor, where there is one.")
        ] = "",
    ) -> Response:
        """Issue tokens for a password or for a refresh token (RFC 6749 sections 4.3 and 6)."""
        await refuse_repeated(request)
        if self._transport.has_cookie(request):
            await self._authenticator.check_origin(request)
        if grant_type == "password" and username is not None and password is not None:
            return await self._password_grant(
                request,
                username=username,
                password=password.get_secret_value(),
                scope=scope,
                code=mfa_code,
            )
        if grant_type == "refresh_token" and refresh_token:
            identity, successor = await self._sessions.refresh(refresh_token)
            return await self._handout.answer(identity, successor)
        if grant_type in {"password", "refresh_token"}:
            raise InvalidRequestError("A parameter is missing.")
        raise UnsupportedGrantTypeError

    async def _password_grant(
        self, request: Request, *, username: str, password: str, scope: str, code: str
    ) -> Response:
        asked = tuple(scope.split())
        if not set(asked) <= set(self._scopes.declared):
            raise InvalidScopeError
        caller = self._transport.caller(request)
        wanted = Wanted(username, "bearer", caller, scope=asked or None)
        logged_in = await self._login.log_in(Attempt(wanted, password, code or None))
        return await self._handout.answer(
            logged_in.identity,
            logged_in.secret,
            caller=caller,
            device_cookie=logged_in.device_cookie,
            trust_cookie=logged_in.trust_cookie,
        )

    async def reauthenticate(self, request: Request, body: ProofBody) -> Response:
        """Prove to be the same person again: the log-in is fresh, and its cookie or refresh token a new one."""
        identity = await self._authenticator.required(request)
        _, method = await self._prover.prove(
            identity.session.user_id,
            body.proof(),
            self._transport.caller(request),
            session_id=identity.session.id,
        )
        secret = await self._sessions.reauthenticate(identity, method=method)
        renewed = await self._sessions.find.by_id(
            identity.session.id, now=self._authenticator.clock()
        )
        return await self._handout.answer(renewed or identity, secret)
