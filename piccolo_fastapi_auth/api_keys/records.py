"""What the rest of the library knows of an API key: plain values, no row. Pure."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key, as its owner may see it. Times are aware, in UTC."""

    id: UUID
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None
    rolled_over_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made, and its text, which is nowhere else."""

    api_key: ApiKey
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Maker:
    """Who makes a key, by which log-in, and what that log-in may do."""

    user_id: object
    session_id: UUID
    methods: tuple[str, ...]
    scopes: tuple[str, ...]
