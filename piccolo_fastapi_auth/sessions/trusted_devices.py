"""Browsers that are spared the second factor for a while: granted, looked for, taken over by the next session."""

import hashlib
from datetime import datetime
from uuid import UUID, uuid4

from piccolo_fastapi_auth.database import Database
from piccolo_fastapi_auth.primitives import opaque_tokens
from piccolo_fastapi_auth.primitives.clock import Clock
from piccolo_fastapi_auth.sessions.tables import AuthTrustedDevice


class TrustedDevices:
    """Trusted devices of one ``Auth``. A row dies with its session, and fits no other password and no other factors."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def grant(
        self, session_id: UUID, user_id: object, *, binding: str, until: datetime
    ) -> str:
        """Return a new token for the browser of a session. ``binding`` is what must not change meanwhile."""
        token = opaque_tokens.new_token()
        row = AuthTrustedDevice(
            id=uuid4(),
            user=user_id,
            session=session_id,
            token_hash=_digest(token, binding),
            created_at=self._clock(),
            expires_at=until,
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

    async def take_over(self, user_id: object, token: str, *, binding: str) -> datetime | None:
        """Use a token up; return until when its successor may be good, or ``None`` if it is not."""
        table, digest = AuthTrustedDevice, _digest(token, binding)
        taken = await self._database.write(
            table.delete()
            .where(
                table.user == user_id, table.token_hash == digest, table.expires_at > self._clock()
            )
            .returning(table.expires_at)
        )
        until = taken[0]["expires_at"] if taken else None
        return until if isinstance(until, datetime) else None


def _digest(token: str, binding: str) -> str:
    known = opaque_tokens.digest(token)  # of a canonical token only
    return hashlib.sha256(f"trusted:{known}:{binding}".encode()).hexdigest()
