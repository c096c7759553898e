"""Where the request that is being served comes from, for the events that it leads to.

Every route of ours notes its caller here before anything else; whoever is found to be logged in is added later. A
service then records an event in one line, without the request being handed through ten functions to it.
"""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from piccolo_fastapi_auth.caller import Caller


@dataclass(slots=True)
class Origin:
    """A request to one of our routes: its other end, and who is logged in there."""

    caller: Caller
    actor: object = None
    session_id: UUID | None = None


# A request's own, as the current transaction is: never shared, and empty in commands and scripts.
_ORIGIN: Final[ContextVar[Origin | None]] = ContextVar("piccolo_fastapi_auth.origin", default=None)


def note(caller: Caller) -> None:
    """Begin: this request comes from there."""
    _ORIGIN.set(Origin(caller))


def clear() -> None:
    """End: what comes next in this task is another request, or none."""
    _ORIGIN.set(None)


def note_session(session_id: UUID, actor: object) -> bool:
    """Go on: whoever sent it is logged in. Return whether the request is to a route of ours; others leave no events."""
    if (origin := _ORIGIN.get()) is None:
        return False
    origin.session_id, origin.actor = session_id, actor
    return True


def current() -> Origin | None:
    """Return where the running request comes from; ``None`` outside of our routes."""
    return _ORIGIN.get()
