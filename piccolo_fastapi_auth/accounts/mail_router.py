"""Paths about links in mails: prove an address, move to another, choose a new password, log in."""

from typing import Generic, TypeVar

from fastapi import APIRouter, Depends, Request, Response

from piccolo_fastapi_auth.accounts.claims import Claims
from piccolo_fastapi_auth.accounts.magic_links import MagicLinks
from piccolo_fastapi_auth.accounts.mail_schemas import (
    Accepted,
    ConfirmEmailBody,
    EmailBody,
    LinkBody,
    MagicLinkBody,
    ResetBody,
)
from piccolo_fastapi_auth.accounts.recovery import PasswordRecovery
from piccolo_fastapi_auth.accounts.verification import VerificationService
from piccolo_fastapi_auth.routing import Guards
from piccolo_fastapi_auth.sessions.authenticator import Authenticator
from piccolo_fastapi_auth.sessions.handout import Handout
from piccolo_fastapi_auth.sessions.schemas import SignedIn, TokenResponse
from piccolo_fastapi_auth.transport import Transport
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)


class MailRoutes(Generic[UserT]):
    """The routes of links in mails."""

    def __init__(
        self,
        *,
        transport: Transport,
        verification: VerificationService[UserT],
        recovery: PasswordRecovery[UserT],
        magic_links: MagicLinks[UserT] | None,
        claims: Claims[UserT],
        authenticator: Authenticator[UserT],
        handout: Handout[UserT],
        guards: Guards,
    ) -> None:
        self._transport = transport
        self._verification = verification
        self._recovery = recovery
        self._magic_links = magic_links
        self._claims = claims
        self._authenticator = authenticator
        self._handout = handout
        self._guards = guards
        self._human = [Depends(guard) for guard in guards.human]

    def add_to(self, router: APIRouter) -> None:
        """Add the routes."""
        for path, endpoint in (
            ("/email/verify/request", self.request_verification),
            ("/password/forgot", self.forgot_password),
        ):
            router.add_api_route(
                path, endpoint, methods=["POST"], status_code=202, response_model=Accepted,
                dependencies=self._human,
            )  # fmt: skip
        router.add_api_route(
            "/email/change", self.change_email, methods=["POST"], status_code=202, response_model=Accepted,
            dependencies=[Depends(self._guards.fresh_user)],
        )  # fmt: skip
        for path, confirm in (
            ("/email/verify", self.verify_email),
            ("/email/change/undo", self.undo_email_change),
            ("/password/reset", self.reset_password),
        ):
            router.add_api_route(path, confirm, methods=["POST"], status_code=204)
        if self._magic_links is not None:
            self._add_magic_links(router, self._magic_links)

    async def request_verification(self, request: Request, body: EmailBody) -> Accepted:
        """Mail a link that proves an address, if there is one to prove. The answer is always the same."""
        await self._verification.request(body.email, self._transport.caller(request))
        return Accepted()

    async def verify_email(self, request: Request, body: ConfirmEmailBody) -> Response:
        """Use a link up that proves an address, or a new address.

        Unless the caller is signed in to the account, signed up in this browser, or gives the account's password, an
        account that was never proven is emptied first: its password and all else may be a stranger's.
        """
        await self._verification.confirm(body.token, await self._claims.of(request, body.password))
        return Response(status_code=204)

    async def change_email(self, request: Request, body: EmailBody) -> Accepted:
        """Mail a link to a new address; the account moves when it is used. Needs a fresh log-in."""
        session = (await self._authenticator.required(request)).session
        await self._verification.ask_to_change(
            session.user_id, body.email, self._transport.caller(request)
        )
        return Accepted()

    async def undo_email_change(self, body: LinkBody) -> Response:
        """Take a change of the address back, with the link that its old address got. Every session ends."""
        await self._verification.undo_change(body.token)
        return Response(status_code=204)

    async def forgot_password(self, request: Request, body: EmailBody) -> Accepted:
        """Mail a link to choose a new password, if there is an account. The answer is always the same."""
        await self._recovery.forgot(body.email, self._transport.caller(request))
        return Accepted()

    async def reset_password(self, body: ResetBody) -> Response:
        """Choose a new password with a link. Every session ends, and nobody is logged in."""
        await self._recovery.reset(body.token, body.password.get_secret_value())
        return Response(status_code=204)

    def _add_magic_links(self, router: APIRouter, magic_links: MagicLinks[UserT]) -> None:
        async def request_magic_link(request: Request, body: EmailBody) -> Accepted:
            """Mail a link that logs in, if there is an account. The answer is always the same."""
            await magic_links.request(body.email, self._transport.caller(request))
            return Accepted()

        async def log_in_by_link(request: Request, body: MagicLinkBody) -> Response:
            """Log in with a link. A second factor is asked for as after a password."""
            self._transport.check_origin(request)
            claim = await self._claims.of(request)
            logged_in = await magic_links.log_in(body.token, claim, transport=body.transport)
            return await self._handout.answer(
                logged_in.identity, logged_in.secret, caller=claim.caller
            )

        router.add_api_route(
            "/magic-link", request_magic_link, methods=["POST"], status_code=202, response_model=Accepted,
            dependencies=self._human,
        )  # fmt: skip
        router.add_api_route(
            "/magic-link/login", log_in_by_link, methods=["POST"], response_model=SignedIn | TokenResponse
        )  # fmt: skip
