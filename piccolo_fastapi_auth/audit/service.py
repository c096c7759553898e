"""Writing and reading the trail. The only reader and writer of `auth_event`."""

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Final
from uuid import UUID

from piccolo.columns import Column

from piccolo_fastapi_auth import origin
from piccolo_fastapi_auth.audit.delivery import Delivery
from piccolo_fastapi_auth.audit.event import Action, Event, Outcome, escaped
from piccolo_fastapi_auth.audit.tables import AuthEvent
from piccolo_fastapi_auth.caller import Caller
from piccolo_fastapi_auth.database import Database, Row
from piccolo_fastapi_auth.primitives.clock import Clock

_PERSONAL: Final[dict[Column | str, object]] = {
    AuthEvent.ip: None,
    AuthEvent.user_agent: None,
    AuthEvent.detail: "{}",
}


class Events:
    """The trail of one ``Auth``."""

    def __init__(
        self, database: Database, *, caller_of: Callable[[object], Caller], clock: Clock
    ) -> None:
        self._database = database
        self._caller_of = caller_of
        self._clock = clock
        self.delivery = Delivery()

    async def record(
        self,
        action: Action,
        *,
        user: object = None,
        outcome: Outcome = "success",
        actor: object = None,
        session_id: UUID | None = None,
        method: str | None = None,
        caller: Caller | None = None,
        detail: Mapping[str, object] | None = None,
        anonymous: bool = False,
    ) -> None:
        """Write that something happened, inside the transaction of the change; tell hooks and logs after its commit.

        Args:
            action: What happened.
            user: Whom it happened to: a primary key.
            outcome: ``failure`` for what was tried and refused.
            actor: Who did it, where the request of the moment is not logged in; else ``user`` on success.
            session_id: The sign-in that it is about; by default the one behind the request.
            method: The factor that was used.
            caller: The other end; by default that of the request of the moment. Commands have none.
            detail: What else there is to say. No secret and nothing that somebody typed.
            anonymous: Keep no address and no browser.
        """
        here = origin.current()
        if here is not None:
            caller, actor = caller or self._caller_of(here.connection), here.actor or actor
            session_id = session_id or here.session_id
        if actor is None and outcome == "success" and caller is not None:
            actor = user
        values: dict[str, object] = {
            "at": self._clock(),
            "action": action,
            "outcome": outcome,
            "user": user,
            "actor": actor,
            "session_id": session_id,
            "method": method and escaped(method, longest=64),
            "request_id": caller and caller.request_id,
            "detail": json.dumps(
                {name: escaped(str(said)) for name, said in (detail or {}).items()}
            ),
            **_place(None if anonymous else caller),
        }
        await self._write(values)

    async def _write(self, values: Mapping[str, object]) -> None:
        async with self._database.atomic():
            row = AuthEvent(**values)  # type: ignore[arg-type] # columns by name, as Piccolo takes them
            written = await AuthEvent.insert(row)
            event = _event({**values, "id": written[0]["id"]})
            await self._database.after_commit(lambda: self.delivery.tell(event))

    async def of_user(self, user_id: object, *, before: int | None, limit: int) -> list[Event]:
        """Return what happened to a person, newest first; ``before`` goes on where a page ended."""
        return await self._page(AuthEvent.user == user_id, before=before, limit=limit)

    async def all(
        self, *, user: object = None, action: str | None = None, before: int | None, limit: int
    ) -> list[Event]:
        """Return what happened to everybody, newest first."""
        wanted = [] if user is None else [AuthEvent.user == user]
        wanted += [] if action is None else [AuthEvent.action == action]
        return await self._page(*wanted, before=before, limit=limit)

    async def _page(self, *wanted: object, before: int | None, limit: int) -> list[Event]:
        query = AuthEvent.select(*AuthEvent.all_columns())
        for condition in [*wanted, *([] if before is None else [AuthEvent.id < before])]:
            query = query.where(condition)  # type: ignore[arg-type] # conditions, all of them
        rows = await query.order_by(AuthEvent.id, ascending=False).limit(limit)
        return [_event(row) for row in rows]

    async def forget(self, user_id: object) -> None:
        """Take addresses and browsers out of a person's events. Call it in the transaction that deletes them.

        The database itself empties ``user`` and ``actor`` then.
        """
        mine = AuthEvent.user == user_id
        await AuthEvent.update(_PERSONAL).where(mine | (AuthEvent.actor == user_id))

    async def clean(self, *, older_than: timedelta) -> int:
        """Delete events older than this; return how many."""
        gone = await self._database.write(
            AuthEvent.delete()
            .where(AuthEvent.at < self._clock() - older_than)
            .returning(AuthEvent.id)
        )
        return len(gone)


def _place(caller: Caller | None) -> dict[str, object]:
    if caller is None:
        return {"ip": None, "user_agent": None}
    return {"ip": caller.ip, "user_agent": caller.user_agent and escaped(caller.user_agent)}


def _event(row: Row) -> Event:
    detail: dict[str, str] = json.loads(str(row["detail"] or "{}"))
    return Event(**{**row, "detail": MappingProxyType(detail)})
