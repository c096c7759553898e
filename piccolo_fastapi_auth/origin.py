"""Where the request that is being served comes from, for the events that it leads to.

Every route of ours notes its connection here before anything else; whoever is found to be logged in is added later.
A service then records an event in one line, without the request being handed through ten functions to it.
"""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final
from uuid import UUID


@dataclass(slots=True)
class Origin:
    """A request to one of our routes: its connection, and who is logged in there."""

    connection: object
    actor: object = None
    session_id: UUID | None = None


# A request's own, as the current transaction is: never shared, and empty in commands and scripts.
_ORIGIN: Final[ContextVar[Origin | None]] = ContextVar("piccolo_fastapi_auth.origin", default=None)


@contextlib.contextmanager
def serving(connection: object) -> Iterator[None]:
    """Note, until the block ends, that this request to a route of ours is being served."""
    before = _ORIGIN.get()
    _ORIGIN.set(Origin(connection))
    try:
        yield
    finally:
        _ORIGIN.set(before)


def note_session(session_id: UUID, actor: object) -> bool:
    """Go on: whoever sent it is logged in. Return whether the request is to a route of ours; others leave no events."""
    if (origin := _ORIGIN.get()) is None:
        return False
    origin.session_id, origin.actor = session_id, actor
    return True


def current() -> Origin | None:
    """Return where the running request comes from; ``None`` outside of our routes."""
    return _ORIGIN.get()
