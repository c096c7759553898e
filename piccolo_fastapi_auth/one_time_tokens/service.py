"""Issue, try and consume tokens that are good once. Each decision is one conditional statement."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import cast
from uuid import UUID, uuid4

from piccolo.custom_types import Combinable

from piccolo_fastapi_auth.database import Database
from piccolo_fastapi_auth.one_time_tokens.tables import AuthOneTimeToken
from piccolo_fastapi_auth.primitives import opaque_tokens
from piccolo_fastapi_auth.primitives.clock import Clock


@dataclass(frozen=True, slots=True)
class Pending:
    """A token that is good so far: whose it is, and what it was issued with."""

    id: UUID
    user_id: object
    binding: str = field(repr=False)
    data: Mapping[str, object]


class OneTimeTokens:
    """Tokens of 256 random bits, bound to a purpose and a person, stored as a digest."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def issue(
        self,
        user_id: object,
        *,
        purpose: str,
        lifetime: timedelta,
        binding: str,
        data: Mapping[str, object],
    ) -> str:
        """Return a new token. ``binding`` is compared by whoever consumes it; only its digest is stored."""
        token, now = opaque_tokens.new_token(), self._clock()
        row = AuthOneTimeToken(
            id=uuid4(),
            user=user_id,
            token_hash=opaque_tokens.digest(token),
            purpose=purpose,
            binding=bound(binding),
            data=json.dumps(dict(data)),
            created_at=now,
            expires_at=now + lifetime,
        )
        await self._database.write(AuthOneTimeToken.insert(row))
        return token

    async def attempt(self, token: str, *, purpose: str, most: int) -> Pending | None:
        """Count a try, before anything is compared; ``None`` when the token is no good or its tries are used up."""
        digest = opaque_tokens.digest(token)
        if digest is None:
            return None
        table = AuthOneTimeToken
        counted = await self._database.write(
            table.update({table.attempts: table.attempts + 1})
            .where(self._open(digest, purpose=purpose, most=most))
            .returning(table.id)
        )
        return await self._pending(table.token_hash == digest) if counted else None

    async def look(self, token: str, *, purpose: str, most: int) -> Pending | None:
        """Return what an open token was issued with, without counting a try."""
        digest = opaque_tokens.digest(token)
        if digest is None:
            return None
        return await self._pending(self._open(digest, purpose=purpose, most=most))

    def _open(self, digest: str, *, purpose: str, most: int) -> Combinable:
        table = AuthOneTimeToken
        return (
            (table.token_hash == digest)
            & (table.purpose == purpose)
            & table.used_at.is_null()
            & (table.expires_at > self._clock())
            & (table.attempts < most)
        )

    async def _pending(self, condition: Combinable) -> Pending | None:
        table = AuthOneTimeToken
        row = (
            await table.select(table.id, table.user, table.binding, table.data)
            .where(condition)
            .first()
        )
        if row is None:
            return None
        return Pending(
            cast("UUID", row["id"]), row["user"], str(row["binding"]), json.loads(str(row["data"]))
        )

    async def consume(self, pending: Pending) -> bool:
        """Use a token up; of several who try at once, one is told that it did."""
        table = AuthOneTimeToken
        used = await self._database.write(
            table.update({table.used_at: self._clock()})
            .where(
                table.id == pending.id, table.used_at.is_null(), table.expires_at > self._clock()
            )
            .returning(table.id)
        )
        return bool(used)

    async def end_all(self, user_id: object, *, purpose: str | None = None) -> None:
        """End a person's tokens, all or those of one purpose."""
        table = AuthOneTimeToken
        query = table.delete().where(table.user == user_id)
        if purpose is not None:
            query = query.where(table.purpose == purpose)
        await self._database.write(query)

    async def clean(self, *, most: int) -> int:
        """Delete tokens that have expired, at most so many; return how many."""
        table = AuthOneTimeToken
        return await self._database.delete_some(
            table, table.id, table.expires_at <= self._clock(), most=most
        )


def bound(value: str) -> str:
    """Return the digest under which a bound value is kept."""
    return hashlib.sha256(value.encode()).hexdigest()
