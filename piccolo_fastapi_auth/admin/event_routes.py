"""Paths about the trail: one's own, and everybody's for administrators."""

from typing import Annotated, Generic, TypeVar

from fastapi import APIRouter, Depends, Query, Request, Security

from piccolo_fastapi_auth.admin.schemas import EventOut, event_out
from piccolo_fastapi_auth.audit.event import Action
from piccolo_fastapi_auth.audit.service import Events
from piccolo_fastapi_auth.errors import NotFoundError
from piccolo_fastapi_auth.routing import Guards, Text
from piccolo_fastapi_auth.sessions.access_tokens import AccessTokens
from piccolo_fastapi_auth.sessions.authenticator import Authenticator
from piccolo_fastapi_auth.users.scopes import ADMIN
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)
Before = Annotated[int | None, Query(ge=1, lt=2**63, description="The last id of the page before.")]
Limit = Annotated[int, Query(ge=1, le=200)]


class EventRoutes(Generic[UserT]):
    """The routes of the trail."""

    def __init__(
        self,
        *,
        events: Events,
        tokens: AccessTokens,
        authenticator: Authenticator[UserT],
        guards: Guards,
    ) -> None:
        self._events = events
        self._tokens = tokens
        self._authenticator = authenticator
        self._guards = guards

    def add_to(self, router: APIRouter) -> None:
        """Add the routes."""
        router.add_api_route(
            "/events", self.list_events, methods=["GET"], response_model=list[EventOut],
            dependencies=[Depends(self._guards.current_user)],
        )  # fmt: skip
        router.add_api_route(
            "/admin/events", self.list_all_events, methods=["GET"], response_model=list[EventOut],
            dependencies=[Security(self._guards.admin, scopes=[ADMIN])],
        )  # fmt: skip

    async def list_events(
        self, request: Request, before: Before = None, limit: Limit = 50
    ) -> list[EventOut]:
        """List what happened to the person's account, newest first."""
        user_id = (await self._authenticator.required(request)).session.user_id
        found = await self._events.of_user(user_id, before=before, limit=limit)
        return [event_out(event) for event in found]

    async def list_all_events(
        self,
        user: Annotated[Text | None, Query(max_length=255)] = None,
        action: Action | None = None,
        before: Before = None,
        limit: Limit = 50,
    ) -> list[EventOut]:
        """List what happened to everybody, newest first. Needs ``auth:admin`` and a fresh log-in."""
        key = None if user is None else self._tokens.key(user)
        if user is not None and key is None:
            raise NotFoundError
        found = await self._events.all(user=key, action=action, before=before, limit=limit)
        return [event_out(event) for event in found]
