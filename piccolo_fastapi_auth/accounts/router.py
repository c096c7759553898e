"""Paths about a person's own account: sign up, read, write, change the password, delete."""

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel

from piccolo_fastapi_auth.accounts.schemas import (
    ChangePasswordBody,
    ProfileUpdate,
    RegisterBody,
)
from piccolo_fastapi_auth.accounts.service import AccountService
from piccolo_fastapi_auth.mfa.schemas import ProofBody
from piccolo_fastapi_auth.routing import Guards
from piccolo_fastapi_auth.sessions.authenticator import Authenticator
from piccolo_fastapi_auth.sessions.handout import Handout
from piccolo_fastapi_auth.sessions.schemas import UserOut
from piccolo_fastapi_auth.settings import AuthSettings
from piccolo_fastapi_auth.transport import Transport
from piccolo_fastapi_auth.users.service import UserService, canonical_address
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)


class Registered(BaseModel):
    """A new account."""

    user: UserOut


class AccountRoutes(Generic[UserT]):
    """The routes of the accounts slice."""

    def __init__(
        self,
        *,
        settings: AuthSettings,
        transport: Transport,
        accounts: AccountService[UserT],
        users: UserService[UserT],
        authenticator: Authenticator[UserT],
        handout: Handout[UserT],
        guards: Guards,
        profile_schema: type[ProfileUpdate],
    ) -> None:
        self._settings = settings
        self._transport = transport
        self._accounts = accounts
        self._users = users
        self._authenticator = authenticator
        self._handout = handout
        self._guards = guards
        self._profile_schema = profile_schema

    def add_to(self, router: APIRouter) -> None:
        """Add the routes."""
        signed_in = [Depends(self._guards.current_user)]
        if self._settings.registration:
            router.add_api_route(
                "/register",
                self.register,
                methods=["POST"],
                status_code=201,
                response_model=Registered,
                dependencies=[Depends(guard) for guard in self._guards.human],
            )
        router.add_api_route(
            "/me", self.get_me, methods=["GET"], response_model=UserOut, dependencies=signed_in
        )
        router.add_api_route(
            "/me",
            self._update_me(),
            methods=["PATCH"],
            response_model=UserOut,
            dependencies=signed_in,
        )
        router.add_api_route(
            "/me", self.delete_me, methods=["DELETE"], status_code=204, dependencies=signed_in
        )
        router.add_api_route(
            "/password/change",
            self.change_password,
            methods=["POST"],
            status_code=204,
            dependencies=signed_in,
        )

    async def register(self, body: RegisterBody) -> Registered:
        """Make an account. It may log in at once."""
        user_id = await self._accounts.register(
            username=body.username, email=body.email, password=body.password.get_secret_value()
        )
        user = UserOut.model_validate(
            {
                "id": user_id,
                "username": body.username,
                "email": canonical_address(body.email),
                "first_name": None,
                "last_name": None,
                "email_verified": False,
                "scopes": [],
            }
        )
        return Registered(user=user)

    async def get_me(self, request: Request) -> UserOut:
        """Show the person behind the request."""
        return (await self._handout.signed_in(await self._authenticator.required(request))).user

    def _update_me(self) -> Callable[..., Awaitable[UserOut]]:
        schema = self._profile_schema

        async def update_me(request: Request, body: schema) -> UserOut:  # type: ignore[valid-type] # chosen by the application
            """Write the profile: only the members that are sent, only the columns that a person may write."""
            identity = await self._authenticator.required(request)
            values = body.model_dump(exclude_unset=True)  # type: ignore[attr-defined] # as above
            await self._users.update_profile(identity.session.user_id, values)
            for name, value in values.items():
                setattr(identity.user, name, value)
            return (await self._handout.signed_in(identity)).user

        return update_me

    async def delete_me(self, request: Request, body: ProofBody) -> Response:
        """Delete the account with everything that points at it."""
        session = (await self._authenticator.required(request)).session
        await self._accounts.delete(
            session.user_id,
            body.proof(),
            caller=self._transport.caller(request),
            session_id=session.id,
        )
        response = Response(status_code=204)
        if session.transport == "cookie":
            self._transport.clear_cookie(response)
        return response

    async def change_password(self, request: Request, body: ChangePasswordBody) -> Response:
        """Change the password. Every other session ends."""
        await self._accounts.change_password(
            await self._authenticator.required(request),
            current=body.current_password.get_secret_value(),
            new=body.new_password.get_secret_value(),
            caller=self._transport.caller(request),
        )
        return Response(status_code=204)
