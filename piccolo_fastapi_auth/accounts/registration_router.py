"""Paths by which accounts begin: sign up, invite."""

from typing import Generic, TypeVar

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from piccolo_fastapi_auth.accounts.invitations import ADMIN_SCOPE, InvitationService
from piccolo_fastapi_auth.accounts.mail_schemas import Accepted, EmailBody
from piccolo_fastapi_auth.accounts.registration import Registration
from piccolo_fastapi_auth.accounts.schemas import RegisterBody
from piccolo_fastapi_auth.accounts.service import AccountService
from piccolo_fastapi_auth.errors import InsufficientScopeError, NotFoundError
from piccolo_fastapi_auth.routing import Guards
from piccolo_fastapi_auth.sessions.authenticator import Authenticator
from piccolo_fastapi_auth.sessions.schemas import UserOut
from piccolo_fastapi_auth.settings import AuthSettings
from piccolo_fastapi_auth.transport import Transport
from piccolo_fastapi_auth.users.scopes import Scopes
from piccolo_fastapi_auth.users.service import UserService, canonical_address
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)


class Registered(BaseModel):
    """A new account."""

    user: UserOut


class RegistrationRoutes(Generic[UserT]):
    """The routes of sign-ups."""

    def __init__(
        self,
        *,
        settings: AuthSettings,
        transport: Transport,
        accounts: AccountService[UserT],
        users: UserService[UserT],
        scopes: Scopes[UserT],
        registration: Registration[UserT],
        invitations: InvitationService[UserT],
        authenticator: Authenticator[UserT],
        guards: Guards,
    ) -> None:
        self._settings = settings
        self._transport = transport
        self._accounts = accounts
        self._users = users
        self._scopes = scopes
        self._registration = registration
        self._invitations = invitations
        self._authenticator = authenticator
        self._guards = guards

    def add_to(self, router: APIRouter) -> None:
        """Add the routes."""
        router.add_api_route(
            "/register", self.register, methods=["POST"], status_code=201, response_model=Registered,
            responses={202: {"model": Accepted, "description": "With `email_verification=required`."}},
            dependencies=[Depends(guard) for guard in self._guards.human],
        )  # fmt: skip
        router.add_api_route(
            "/invitations", self.invite, methods=["POST"], status_code=202, response_model=Accepted,
            dependencies=[Depends(self._guards.current_user)],
        )  # fmt: skip

    async def register(self, request: Request, body: RegisterBody) -> Response:
        """Make an account. It may log in at once, or when its address is proven."""
        if body.invitation is not None:
            return await self._by_invitation(body, body.invitation)
        if not self._settings.registration:
            raise NotFoundError
        password = body.password.get_secret_value()
        if self._settings.email_verification == "off":
            user_id = await self._accounts.register(
                username=body.username, email=body.email, password=password
            )
            return await self._registered(user_id, body, verified=False)
        cookie = await self._registration.apply(
            username=body.username,
            email=body.email,
            password=password,
            caller=self._transport.caller(request),
            signup_cookie=self._transport.signup_cookie(request),
        )
        response = JSONResponse(Accepted().model_dump(), status_code=202)
        self._transport.set_signup_cookie(response, cookie)
        return response

    async def _by_invitation(self, body: RegisterBody, invitation: str) -> Response:
        user_id = await self._invitations.accept(
            invitation,
            username=body.username,
            email=body.email,
            password=body.password.get_secret_value(),
        )
        return await self._registered(user_id, body, verified=True)

    async def _registered(self, user_id: object, body: RegisterBody, *, verified: bool) -> Response:
        """Show the person as ``GET /auth/me`` will."""
        made = await self._users.read(user_id)
        user = UserOut.model_validate(
            {
                "id": user_id,
                "username": body.username,
                "email": canonical_address(body.email),
                "first_name": made and made.first_name,
                "last_name": made and made.last_name,
                "email_verified": verified,
                "scopes": () if made is None else await self._scopes.of(made),
            }
        )
        return JSONResponse(Registered(user=user).model_dump(mode="json"), status_code=201)

    async def invite(self, request: Request, body: EmailBody) -> Accepted:
        """Invite an address to sign up. For superusers and whoever has the scope ``auth:admin``."""
        identity = await self._authenticator.required(request)
        unlimited = identity.user.superuser and identity.session.scope is None
        if not unlimited and ADMIN_SCOPE not in await self._authenticator.scopes(request, identity):
            raise InsufficientScopeError([ADMIN_SCOPE])
        await self._invitations.invite(identity.session.user_id, body.email)
        return Accepted()
