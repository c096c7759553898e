"""What the rest of the library knows of a session: plain values, no row, nothing secret. Pure."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, Literal, Protocol, TypeVar
from uuid import UUID

from piccolo_fastapi_auth.authenticated import Authenticated

TransportName = Literal["cookie", "bearer"]
UserT = TypeVar("UserT")


@dataclass(frozen=True, slots=True)
class Session:
    """A sign-in: where it came from, how it was made and when it ends. Times are aware, in UTC."""

    id: UUID
    user_id: int | UUID | str
    transport: TransportName
    created_at: datetime
    authenticated_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    methods: tuple[str, ...]
    scope: tuple[str, ...] | None
    ip: str | None
    user_agent: str | None
    actor_id: int | UUID | str | None = None
    """Who acts as the person; ``None`` when it is the person."""


@dataclass(frozen=True, slots=True)
class RefreshState:
    """What rotation needs of a session row."""

    generation: int
    salt: str = field(repr=False)
    rotated_at: datetime | None


@dataclass(frozen=True, slots=True)
class Identity(Generic[UserT]):
    """A live session and the person behind it, from one query."""

    session: Session
    user: UserT
    email_verified: bool
    refresh: RefreshState | None = None


class Assurance(Protocol[UserT]):
    """Who must use a second factor; the mfa slice knows."""

    async def check_policy(self, found: Identity[UserT] | Authenticated[UserT]) -> None:
        """Refuse somebody who must use a second factor and did not."""
        ...

    async def demand(self, identity: Identity[UserT]) -> None:
        """Refuse a log-in without a second factor."""
        ...

    async def demand_strongest(self, identity: Identity[UserT]) -> None:
        """Refuse a log-in without the second factor that the person has."""
        ...
