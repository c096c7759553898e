"""Paths about second factors: list, enrol, confirm, rename, remove, recovery codes. One pair of paths a method."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Generic, TypeVar
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from piccolo_fastapi_auth.errors import ReauthenticationRequiredError
from piccolo_fastapi_auth.mfa.assurance import Assurance
from piccolo_fastapi_auth.mfa.flows import MfaFlows
from piccolo_fastapi_auth.mfa.method import Enrolment, MfaMethod
from piccolo_fastapi_auth.mfa.schemas import (
    BeginBody,
    ConfirmBody,
    Confirmed,
    MfaMethodOut,
    MfaOverview,
    NewRecoveryCodes,
    RenameBody,
)
from piccolo_fastapi_auth.mfa.service import Enrolled, MfaService
from piccolo_fastapi_auth.routing import Guards
from piccolo_fastapi_auth.sessions.authenticator import Authenticator
from piccolo_fastapi_auth.sessions.records import Identity
from piccolo_fastapi_auth.settings import AuthSettings
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)


class MfaRoutes(Generic[UserT]):
    """The routes of the mfa slice."""

    def __init__(
        self,
        *,
        settings: AuthSettings,
        mfa: MfaService,
        flows: MfaFlows[UserT],
        assurance: Assurance[UserT],
        authenticator: Authenticator[UserT],
        guards: Guards,
    ) -> None:
        self._settings = settings
        self._mfa = mfa
        self._flows = flows
        self._assurance = assurance
        self._authenticator = authenticator
        self._guards = guards

    def add_to(self, router: APIRouter) -> None:
        """Add the routes."""
        signed_in = [Depends(self._guards.signed_in)]
        router.add_api_route(
            "/mfa",
            self.get_mfa,
            methods=["GET"],
            response_model=MfaOverview,
            dependencies=signed_in,
        )
        for method in self._mfa.methods.values():
            router.add_api_route(
                f"/mfa/{method.name}", self._begin(method), methods=["POST"], status_code=201,
                response_model=method.enrolment, dependencies=signed_in, name=f"begin_{method.name}",
            )  # fmt: skip
            router.add_api_route(
                f"/mfa/{method.name}/confirm", self._confirm(method), methods=["POST"],
                response_model=Confirmed, dependencies=signed_in, name=f"confirm_{method.name}",
            )  # fmt: skip
        router.add_api_route(
            "/mfa/recovery-codes", self.new_recovery_codes, methods=["POST"], response_model=NewRecoveryCodes,
            dependencies=signed_in,
        )  # fmt: skip
        router.add_api_route(
            "/mfa/{method_id}",
            self.rename_mfa,
            methods=["PATCH"],
            response_model=MfaMethodOut,
            dependencies=signed_in,
        )
        router.add_api_route(
            "/mfa/{method_id}",
            self.remove_mfa,
            methods=["DELETE"],
            status_code=204,
            dependencies=signed_in,
        )

    async def get_mfa(self, request: Request) -> MfaOverview:
        """Show the person's second factors, and which they could add."""
        user_id = (await self._authenticator.required(request)).session.user_id
        return MfaOverview(
            methods=[_out(enrolled) for enrolled in await self._mfa.of_user(user_id)],
            available=list(self._mfa.methods),
            recovery_codes_left=await self._mfa.recovery.left(user_id),
        )

    def _begin(self, method: MfaMethod) -> Callable[..., Awaitable[Enrolment]]:
        async def begin(request: Request, body: BeginBody | None = None) -> Enrolment:
            """Start an enrolment. Shows the secret once; nothing changes until it is confirmed. Needs a fresh log-in."""
            identity = await self._strong(request)
            name = None if body is None else body.name
            row_id, begun = await self._flows.begin(identity, method=method.name, name=name)
            return method.enrolment.model_validate({"id": row_id, **begun.shown})

        return begin

    def _confirm(self, method: MfaMethod) -> Callable[..., Awaitable[Confirmed]]:
        async def confirm(request: Request, response: Response, body: ConfirmBody) -> Confirmed:
            """Finish an enrolment with its first code. Every other session ends, and the cookie is a new one."""
            identity = await self._strong(request)
            caller = self._authenticator.transport.caller(request)
            done = await self._flows.confirm(
                identity, body.id, body.code, method=method.name, caller=caller
            )
            if done.cookie is not None:
                now = self._authenticator.clock()
                expires_at = now + self._settings.session_lifetime
                self._authenticator.transport.set_cookie(
                    response, done.cookie, expires_at=expires_at, now=now
                )
            return Confirmed(method=_out(done.enrolled), recovery_codes=done.recovery_codes)

        return confirm

    async def new_recovery_codes(self, request: Request) -> NewRecoveryCodes:
        """Make recovery codes anew; the old ones die. Needs a fresh log-in with the second factor."""
        user_id = (await self._strong(request)).session.user_id
        return NewRecoveryCodes(recovery_codes=await self._flows.new_recovery_codes(user_id))

    async def rename_mfa(self, request: Request, method_id: UUID, body: RenameBody) -> MfaMethodOut:
        """Give a second factor another name. Needs a fresh log-in with the second factor."""
        user_id = (await self._strong(request)).session.user_id
        return _out(await self._mfa.rename(user_id, method_id, name=body.name))

    async def remove_mfa(self, request: Request, method_id: UUID) -> Response:
        """Remove a second factor. Every other session ends. Needs a fresh log-in with the second factor."""
        await self._flows.remove((await self._strong(request)).session, method_id)
        return Response(status_code=204)

    async def _strong(self, request: Request) -> Identity[UserT]:
        """Return who asks, if the log-in is fresh and as strong as the person's factors allow (ASVS 7.5.1).

        Raises:
            ReauthenticationRequiredError: It is not.
        """
        identity = await self._authenticator.required(request)
        session, age = identity.session, self._settings.reauthentication_age
        if self._authenticator.clock() - session.authenticated_at > age:
            raise ReauthenticationRequiredError(max_age=age)
        await self._assurance.demand_strongest(identity)
        return identity


def _out(enrolled: Enrolled) -> MfaMethodOut:
    return MfaMethodOut(**asdict(enrolled))
