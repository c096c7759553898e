"""A log-in at one path of the application's choice, whose answer the application shapes; for ``JWTAuth``."""

import inspect
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import Field

from piccolo_fastapi_auth.captcha import CaptchaGuard
from piccolo_fastapi_auth.login.schemas import LoginBody
from piccolo_fastapi_auth.login.service import Attempt, LoginService
from piccolo_fastapi_auth.mfa.challenge import Wanted
from piccolo_fastapi_auth.routing import Text
from piccolo_fastapi_auth.sessions.access_tokens import UserId
from piccolo_fastapi_auth.sessions.handout import Handout
from piccolo_fastapi_auth.sessions.records import Identity
from piccolo_fastapi_auth.sessions.schemas import RefreshBody
from piccolo_fastapi_auth.sessions.service import SessionService
from piccolo_fastapi_auth.transport import Transport
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)

Shape = Mapping[str, object] | Response
GetTokenResponse = Callable[[UserId], Shape | Awaitable[Shape]]
"""What the application adds to the answer to a log-in: members, or a JSON response that gets the tokens added."""


class JwtLoginBody(LoginBody):
    """A log-in, and the second factor where there is one."""

    mfa_code: Text | None = Field(default=None, max_length=64, repr=False)


class JwtLoginRoute(Generic[UserT]):
    """Tokens for a password or for a refresh token, through the one log-in there is."""

    def __init__(
        self,
        *,
        transport: Transport,
        login: LoginService[UserT],
        sessions: SessionService[UserT],
        handout: Handout[UserT],
        human: CaptchaGuard | None,
        shape: GetTokenResponse | None,
    ) -> None:
        self._transport = transport
        self._login = login
        self._sessions = sessions
        self._handout = handout
        self._human = human
        self._shape = shape

    def add_to(self, router: APIRouter, path: str) -> None:
        """Add the route. The application wraps it, so no document of ours shows it."""
        router.add_api_route(path, self.log_in, methods=["POST"], include_in_schema=False)

    async def log_in(self, request: Request, body: JwtLoginBody | RefreshBody) -> Response:
        """Answer with tokens, or refuse as every other log-in does."""
        if isinstance(body, RefreshBody):
            identity, secret = await self._sessions.refresh(body.refresh_token)
            answer = await self._handout.answer(identity, secret)
        else:
            identity, answer = await self._by_password(request, body)
        if self._shape is None:
            return answer
        made = self._shape(identity.session.user_id)
        return shaped(answer, await made if inspect.isawaitable(made) else made)

    async def _by_password(
        self, request: Request, body: JwtLoginBody
    ) -> tuple[Identity[UserT], Response]:
        if self._human is not None:
            await self._human(request, request.headers.get("x-captcha-token"))
        caller = self._transport.caller(request)
        wanted = Wanted(body.username, "bearer", caller)
        logged_in = await self._login.log_in(
            Attempt(wanted, body.password.get_secret_value(), body.mfa_code or None)
        )
        return logged_in.identity, await self._handout.answer(
            logged_in.identity,
            logged_in.secret,
            caller=caller,
            device_cookie=logged_in.device_cookie,
            trust_cookie=logged_in.trust_cookie,
        )


def shaped(answer: Response, made: Shape) -> Response:
    """Return the application's answer with our tokens in it.

    Raises:
        TypeError: It is a response of another kind than a JSON object, which has no place for a token.
    """
    response = made if isinstance(made, Response) else JSONResponse(dict(made))
    try:
        members = json.loads(bytes(response.body))
    except (AttributeError, ValueError):
        members = None
    if not isinstance(members, dict):
        raise TypeError("get_token_response must return a mapping or a response with a JSON object")
    whole = JSONResponse({**members, **json.loads(bytes(answer.body))}, response.status_code)
    sized = {b"content-length", b"content-type"}
    for one in (response, answer):
        whole.raw_headers += [pair for pair in one.raw_headers if pair[0] not in sized]
    return whole
