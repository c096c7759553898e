"""Paths for administrators. All want the scope ``auth:admin`` and a fresh log-in, with a second factor where there is one."""

from dataclasses import asdict
from typing import Annotated, Generic, TypeVar
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response, Security
from fastapi.responses import JSONResponse

from piccolo_fastapi_auth.admin.schemas import (
    ActingToken,
    FactorsOut,
    PersonOut,
    RoleOut,
    person_out,
    roles_out,
)
from piccolo_fastapi_auth.admin.service import AdminService
from piccolo_fastapi_auth.errors import NotFoundError
from piccolo_fastapi_auth.mfa.schemas import MfaMethodOut
from piccolo_fastapi_auth.mfa.service import MfaService
from piccolo_fastapi_auth.routing import Guards, Text
from piccolo_fastapi_auth.sessions.access_tokens import AccessTokens
from piccolo_fastapi_auth.sessions.authenticator import Authenticator
from piccolo_fastapi_auth.sessions.handout import Handout
from piccolo_fastapi_auth.sessions.schemas import SessionOut, SignedIn, session_out
from piccolo_fastapi_auth.sessions.service import SessionService
from piccolo_fastapi_auth.transport import Transport
from piccolo_fastapi_auth.users.roles import Roles
from piccolo_fastapi_auth.users.scopes import ADMIN, IMPERSONATE, Scopes
from piccolo_fastapi_auth.users.service import UserService
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)
_NONE = 204


class AdminRoutes(Generic[UserT]):
    """The routes of the admin slice."""

    def __init__(
        self,
        *,
        admin: AdminService[UserT],
        users: UserService[UserT],
        sessions: SessionService[UserT],
        mfa: MfaService,
        roles: Roles,
        scopes: Scopes[UserT],
        tokens: AccessTokens,
        transport: Transport,
        authenticator: Authenticator[UserT],
        handout: Handout[UserT],
        guards: Guards,
    ) -> None:
        self._admin = admin
        self._users = users
        self._sessions = sessions
        self._mfa = mfa
        self._roles = roles
        self._scopes = scopes
        self._tokens = tokens
        self._transport = transport
        self._authenticator = authenticator
        self._handout = handout
        self._guards = guards

    def add_to(self, router: APIRouter) -> None:
        """Add the routes."""
        guard, one = self._guards.admin, "/admin/users/{user_id}"
        for method, path, endpoint, model in (
            ("GET", "/admin/users", self.list_users, list[PersonOut]),
            ("GET", "/admin/roles", self.list_roles, list[RoleOut]),
            ("GET", one, self.get_user, PersonOut),
            ("POST", f"{one}/deactivate", self.deactivate_user, None),
            ("POST", f"{one}/activate", self.activate_user, None),
            ("GET", f"{one}/sessions", self.list_user_sessions, list[SessionOut]),
            ("DELETE", f"{one}/sessions", self.end_user_sessions, None),
            ("DELETE", f"{one}/sessions/{{session_id}}", self.end_user_session, None),
            ("GET", f"{one}/mfa", self.get_user_mfa, FactorsOut),
            ("DELETE", f"{one}/mfa", self.reset_user_mfa, None),
            ("GET", f"{one}/roles", self.list_user_roles, list[RoleOut]),
            ("PUT", f"{one}/roles/{{role}}", self.grant_role, None),
            ("DELETE", f"{one}/roles/{{role}}", self.revoke_role, None),
        ):
            router.add_api_route(
                path, endpoint, methods=[method], response_model=model,
                status_code=200 if model else _NONE, dependencies=[Security(guard, scopes=[ADMIN])],
            )  # fmt: skip
        router.add_api_route(
            f"{one}/reset-password", self.reset_user_password, methods=["POST"], status_code=202,
            dependencies=[Security(guard, scopes=[ADMIN])],
        )  # fmt: skip
        router.add_api_route(
            f"{one}/impersonate", self.impersonate, methods=["POST"], response_model=SignedIn | ActingToken,
            dependencies=[Security(guard, scopes=[ADMIN, IMPERSONATE])],
        )  # fmt: skip

    def _key(self, text: str) -> object:
        """Read a key from a path; what cannot be one belongs to nobody."""
        key = self._tokens.key(text)
        if key is None:
            raise NotFoundError
        return key

    async def list_users(
        self,
        after: Annotated[Text | None, Query(max_length=255, description="A username.")] = None,
        search: Annotated[Text | None, Query(max_length=255)] = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> list[PersonOut]:
        """List people by username."""
        found = await self._users.page(after=after, search=search, limit=limit)
        return [person_out(user) for user in found]

    async def list_roles(self) -> list[RoleOut]:
        """List the roles that there are."""
        return roles_out(await self._roles.all())

    async def get_user(self, user_id: str) -> PersonOut:
        """Show a person."""
        return person_out(await self._admin.person(self._key(user_id)))

    async def deactivate_user(self, request: Request, user_id: str) -> Response:
        """Close an account. Its sessions end."""
        by = await self._authenticator.required(request)
        await self._admin.deactivate(by, self._key(user_id))
        return Response(status_code=_NONE)

    async def activate_user(self, request: Request, user_id: str) -> Response:
        """Open an account again."""
        by = await self._authenticator.required(request)
        await self._admin.activate(by, self._key(user_id))
        return Response(status_code=_NONE)

    async def reset_user_password(self, request: Request, user_id: str) -> Response:
        """Send a person the mail by which they choose a new password."""
        by = await self._authenticator.required(request)
        await self._admin.reset_password(by, self._key(user_id))
        return Response(status_code=202)

    async def list_user_sessions(self, user_id: str) -> list[SessionOut]:
        """List where a person is signed in."""
        key = self._key(user_id)
        await self._admin.person(key)
        return [session_out(one, current=None) for one in await self._sessions.of_user(key)]

    async def end_user_sessions(self, request: Request, user_id: str) -> Response:
        """End every session of a person."""
        by = await self._authenticator.required(request)
        await self._admin.end_sessions(by, self._key(user_id))
        return Response(status_code=_NONE)

    async def end_user_session(self, request: Request, user_id: str, session_id: UUID) -> Response:
        """End one session of a person."""
        by = await self._authenticator.required(request)
        await self._admin.end_session(by, self._key(user_id), session_id)
        return Response(status_code=_NONE)

    async def get_user_mfa(self, user_id: str) -> FactorsOut:
        """Show which second factors a person has."""
        key = self._key(user_id)
        await self._admin.person(key)
        return FactorsOut(
            methods=[MfaMethodOut(**asdict(one)) for one in await self._mfa.of_user(key)],
            recovery_codes_left=await self._mfa.recovery.left(key),
        )

    async def reset_user_mfa(self, request: Request, user_id: str) -> Response:
        """Remove every second factor of a person who is locked out. Their sessions end."""
        by = await self._authenticator.required(request)
        await self._admin.reset_mfa(by, self._key(user_id))
        return Response(status_code=_NONE)

    async def list_user_roles(self, user_id: str) -> list[RoleOut]:
        """List the roles of a person."""
        key = self._key(user_id)
        await self._admin.person(key)
        return roles_out(await self._roles.of_user(key))

    async def grant_role(self, request: Request, user_id: str, role: Text) -> Response:
        """Give a person a role."""
        by = await self._authenticator.required(request)
        await self._admin.grant(by, self._key(user_id), role)
        return Response(status_code=_NONE)

    async def revoke_role(self, request: Request, user_id: str, role: Text) -> Response:
        """Take a role from a person."""
        by = await self._authenticator.required(request)
        await self._admin.revoke(by, self._key(user_id), role)
        return Response(status_code=_NONE)

    async def impersonate(self, request: Request, user_id: str) -> Response:
        """Act as a person for ten minutes. Needs the scope ``auth:impersonate`` too."""
        by = await self._authenticator.required(request)
        caller = self._transport.caller(request)
        acting = await self._admin.impersonate(
            by, self._key(user_id), ip=caller.ip, user_agent=caller.user_agent
        )
        if by.session.transport == "cookie":
            return await self._handout.answer(acting.identity, acting.secret)
        scopes = await self._scopes.of(acting.identity.user)
        token, expires_in = self._tokens.issue(acting.identity.session, scopes=scopes)
        body = ActingToken(access_token=token, expires_in=expires_in, scope=" ".join(scopes))
        return JSONResponse(body.model_dump(mode="json"), headers={"Cache-Control": "no-store"})
