"""The page behind links in mails, for applications without one of their own.

Opening it changes nothing: mail scanners open links too. Only its form uses the token up (EML-2).
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Generic, TypeVar, cast

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import ValidationError

from piccolo_fastapi_auth.accounts.claims import Claims
from piccolo_fastapi_auth.accounts.confirm_html import (
    HEADERS,
    PAGES,
    SECOND_STEP,
    form,
    message,
)
from piccolo_fastapi_auth.accounts.invitations import InvitationService
from piccolo_fastapi_auth.accounts.links import CHANGE, INVITATION, MAGIC, RESET, UNDO, VERIFY
from piccolo_fastapi_auth.accounts.magic_links import MagicLinks
from piccolo_fastapi_auth.accounts.mail_schemas import ConfirmEmailBody, ResetBody
from piccolo_fastapi_auth.accounts.recovery import PasswordRecovery
from piccolo_fastapi_auth.accounts.schemas import RegisterBody
from piccolo_fastapi_auth.accounts.verification import VerificationService
from piccolo_fastapi_auth.errors import AuthError, InvalidLinkError, MfaRequiredError
from piccolo_fastapi_auth.login.schemas import VerifyBody
from piccolo_fastapi_auth.login.service import LoggedIn, LoginService
from piccolo_fastapi_auth.primitives import opaque_tokens
from piccolo_fastapi_auth.primitives.redirects import safe_path
from piccolo_fastapi_auth.sessions.handout import Handout
from piccolo_fastapi_auth.transport import Transport
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)

Fields = Mapping[str, str]
Action = Callable[[Request, Fields], Awaitable[LoggedIn[UserT] | None]]
MOST_FIELDS: Final = 10


class ConfirmPage(Generic[UserT]):
    """The page of one ``Auth``."""

    def __init__(
        self,
        *,
        transport: Transport,
        verification: VerificationService[UserT],
        recovery: PasswordRecovery[UserT],
        invitations: InvitationService[UserT],
        magic_links: MagicLinks[UserT] | None,
        login: LoginService[UserT],
        claims: Claims[UserT],
        handout: Handout[UserT],
    ) -> None:
        self._transport = transport
        self._verification = verification
        self._recovery = recovery
        self._invitations = invitations
        self._magic_links = magic_links
        self._login = login
        self._claims = claims
        self._handout = handout
        self._actions: Mapping[str, Action[UserT]] = {
            VERIFY: self._confirm_address,
            CHANGE: self._confirm_address,
            UNDO: self._undo,
            RESET: self._reset,
            INVITATION: self._accept,
            MAGIC: self._log_in,
            SECOND_STEP: self._second_step,
        }

    def add_to(self, router: APIRouter) -> None:
        """Add the page. It is for people: no program calls it, so OpenAPI does not show it."""
        router.add_api_route(
            "/confirm", self.show, methods=["GET", "HEAD"], include_in_schema=False
        )
        router.add_api_route("/confirm", self.submit, methods=["POST"], include_in_schema=False)

    async def show(self, request: Request) -> Response:
        """Show the form for a link. Nothing is looked up, so nothing is told and nothing is used up."""
        asked = request.query_params
        return self._form(asked.get("purpose", ""), asked.get("token", ""), asked.get("next", ""))

    def _form(self, purpose: str, token: str, next_path: str) -> Response:
        if purpose not in PAGES or opaque_tokens.digest(token) is None:
            return message(InvalidLinkError.message, status=InvalidLinkError.status)
        return form(purpose, token, next_path=safe_path(next_path))

    async def submit(self, request: Request) -> Response:
        """Use a link up with what was typed into the form."""
        self._transport.check_origin(request)
        async with request.form(max_fields=MOST_FIELDS, max_files=0) as sent:
            fields = {name: text for name, text in sent.items() if isinstance(text, str) and text}
        purpose, token = fields.get("purpose", ""), fields.get("token", "")
        next_path = safe_path(fields.get("next", ""))
        action = self._actions.get(purpose)
        if action is None or opaque_tokens.digest(token) is None:
            return message(InvalidLinkError.message, status=InvalidLinkError.status)
        try:
            logged_in = await action(request, fields)
        except InvalidLinkError as error:
            return message(error.message, status=error.status)
        except MfaRequiredError as error:
            asked, methods = str(error.body["mfa_token"]), cast("list[str]", error.body["methods"])
            return form(SECOND_STEP, asked, next_path=next_path, methods=methods)
        except ValidationError:
            problem = "Something that you typed cannot be used."
            return form(purpose, token, next_path=next_path, problem=problem, status=422)
        except AuthError as error:
            return self._again(error, purpose, token, next_path)
        return self._done(purpose, next_path, logged_in)

    def _again(self, error: AuthError, purpose: str, token: str, next_path: str | None) -> Response:
        """Show the form once more, with what was wrong."""
        problem = str(error.body["message"])
        methods = cast("list[str]", error.body.get("methods", []))
        response = form(
            purpose, token, next_path=next_path, problem=problem, methods=methods, status=error.status
        )  # fmt: skip
        if "Retry-After" in (waits := error.headers or {}):
            response.headers["Retry-After"] = waits["Retry-After"]
        return response

    def _done(
        self, purpose: str, next_path: str | None, logged_in: LoggedIn[UserT] | None
    ) -> Response:
        response: Response = (
            message(PAGES[purpose].done)
            if next_path is None
            else RedirectResponse(next_path, 303, headers=HEADERS)
        )
        if logged_in is not None:
            self._handout.set_cookies(
                response, logged_in.identity, logged_in.secret, device_cookie=logged_in.device_cookie
            )  # fmt: skip
        return response

    async def _confirm_address(self, request: Request, fields: Fields) -> None:
        body = ConfirmEmailBody.model_validate(_only(fields, "token", "password"))
        await self._verification.confirm(body.token, await self._claims.of(request, body.password))

    async def _undo(self, _: Request, fields: Fields) -> None:
        await self._verification.undo_change(fields["token"])

    async def _reset(self, _: Request, fields: Fields) -> None:
        body = ResetBody.model_validate(_only(fields, "token", "password"))
        await self._recovery.reset(body.token, body.password.get_secret_value())

    async def _accept(self, _: Request, fields: Fields) -> None:
        body = RegisterBody.model_validate(_only(fields, "username", "email", "password"))
        await self._invitations.accept(
            fields["token"],
            username=body.username,
            email=body.email,
            password=body.password.get_secret_value(),
        )

    async def _log_in(self, request: Request, fields: Fields) -> LoggedIn[UserT]:
        if self._magic_links is None:
            raise InvalidLinkError
        claim = await self._claims.of(request)
        return await self._magic_links.log_in(fields["token"], claim, transport="cookie")

    async def _second_step(self, request: Request, fields: Fields) -> LoggedIn[UserT]:
        given = {**_only(fields, "method", "code"), "mfa_token": fields["token"]}
        body = VerifyBody.model_validate(given)
        return await self._login.complete(
            body.mfa_token,
            method=body.method,
            code=body.code,
            caller=self._transport.caller(request),
        )


def _only(fields: Fields, *names: str) -> dict[str, str]:
    return {name: fields[name] for name in names if name in fields}
