"""Browsers that are spared the second factor for a while: granted, looked for, taken over by the next session."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import cast
from uuid import UUID, uuid4

from piccolo_fastapi_auth.database import Database
from piccolo_fastapi_auth.primitives import opaque_tokens
from piccolo_fastapi_auth.primitives.clock import Clock
from piccolo_fastapi_auth.sessions.tables import AuthTrustedDevice


@dataclass(frozen=True, slots=True)
class Trusted:
    """Since when a browser is trusted, which is when its person last showed the second factor, and until when."""

    since: datetime
    until: datetime


class TrustedDevices:
    """Trusted devices of one ``Auth``. A row dies with its session, and fits no other password and no other factors."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def grant(
        self, session_id: UUID, user_id: object, *, binding: str, trusted: Trusted
    ) -> str:
        """Return a new token for the browser of a session. ``binding`` is what must not change meanwhile."""
        token = opaque_tokens.new_token()
        row = AuthTrustedDevice(
            id=uuid4(),
            user=user_id,
            session=session_id,
            token_hash=_digest(token, binding),
            created_at=trusted.since,
            expires_at=trusted.until,
        )
        await self._database.write(AuthTrustedDevice.insert(row))
        return token

    async def knows(self, user_id: object, token: str, *, binding: str) -> bool:
        """Say whether a browser's token is good, without using it up."""
        table, digest = AuthTrustedDevice, _digest(token, binding)
        return bool(
            await table.exists().where(
                table.user == user_id, table.token_hash == digest, table.expires_at > self._clock()
            )
        )

    async def take_over(self, user_id: object, token: str, *, binding: str) -> Trusted | None:
        """Use a token up; return what its successor may be good for, or ``None`` if it is not good."""
        table, digest = AuthTrustedDevice, _digest(token, binding)
        taken = await self._database.write(
            table.delete()
            .where(
                table.user == user_id, table.token_hash == digest, table.expires_at > self._clock()
            )
            .returning(table.created_at, table.expires_at)
        )
        if not taken:
            return None
        since, until = (cast("datetime", taken[0][name]) for name in ("created_at", "expires_at"))
        return Trusted(since, until)


def _digest(token: str, binding: str) -> str:
    known = opaque_tokens.digest(token)  # of a canonical token only
    return hashlib.sha256(f"trusted:{known}:{binding}".encode()).hexdigest()
