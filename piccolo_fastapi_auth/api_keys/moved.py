"""Tokens that were made elsewhere and go on here as API keys: programs keep what they have."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final
from uuid import UUID

from piccolo_fastapi_auth.api_keys.tables import AuthApiKey
from piccolo_fastapi_auth.database import Database
from piccolo_fastapi_auth.primitives.clock import Clock
from piccolo_fastapi_auth.settings import AuthSettings

OLD_TOKEN: Final = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
)
"""A random UUID, 122 bits, as Piccolo API's ``TokenAuth`` makes them."""

NAME: Final = "Moved from Piccolo API"


@dataclass(frozen=True, slots=True)
class MovedKey:
    """A token from elsewhere: the row in which it is looked up, and the digest that this must hold."""

    id: UUID
    secret_hash: str = field(repr=False)

    @classmethod
    def of(cls, token: str) -> "MovedKey":
        """Return where a token is found. Row and digest are two hashes of 122 random bits: neither says the other."""
        place = sha256(b"piccolo-fastapi-auth:moved token:" + token.encode()).digest()
        return cls(UUID(bytes=place[:16], version=5), sha256(token.encode()).hexdigest())


class MovedKeys:
    """Takes tokens in."""

    def __init__(self, database: Database, settings: AuthSettings, *, clock: Clock) -> None:
        self._database = database
        self._settings = settings
        self._clock = clock

    async def add(self, items: Sequence[tuple[object, MovedKey]], *, scopes: Sequence[str]) -> int:
        """Store tokens of people, who may do ``scopes`` with them; return how many were new.

        They live as long from now as a key for which nothing else is asked.
        """
        now, table = self._clock(), AuthApiKey
        ends = now + self._settings.api_key_lifetime
        columns = (
            table.id, table.user, table.secret_hash, table.name, table.scopes, table.methods,
            table.created_at, table.expires_at,
        )  # fmt: skip
        granted = " ".join(scopes)
        rows = [
            (one.id, user_id, one.secret_hash, NAME, granted, "password", now, ends)
            for user_id, one in items
        ]
        return len(await self._database.insert_rows(columns, rows, unless=table.id))
