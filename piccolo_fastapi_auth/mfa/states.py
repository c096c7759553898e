"""Sealed states of enrolments: opened, asked, and stored with a compare-and-set. Their only reader and writer."""

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import cast

from piccolo_fastapi_auth.database import Database, Row
from piccolo_fastapi_auth.mfa.method import MfaMethod, SentMethod
from piccolo_fastapi_auth.mfa.tables import AuthMfaMethod
from piccolo_fastapi_auth.primitives.sealing import Sealer, SealError

logger = logging.getLogger(__name__)

STATE_COLUMNS = (
    AuthMfaMethod.id, AuthMfaMethod.user, AuthMfaMethod.method, AuthMfaMethod.state, AuthMfaMethod.version,
)  # fmt: skip


class States:
    """States of one ``Auth``. Moved to another row or person, a sealed state does not open."""

    def __init__(self, database: Database, *, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer

    def seal(self, state: bytes, *, row_id: object, user_id: object) -> str:
        """Return what is stored of a state."""
        return self._sealer.seal(state, bound_to=_bound_to(row_id, user_id))

    def open(self, row: Row) -> bytes | None:
        """Return a state; ``None`` if it does not open: another row's, or its key is lost."""
        try:
            return self._open(row)
        except SealError:
            logger.warning(
                "A second factor cannot be opened: was a key dropped before rotate_encryption?"
            )
            return None

    def _open(self, row: Row) -> bytes:
        bound_to = _bound_to(row["id"], row["user"])
        return self._sealer.open(str(row["state"]), bound_to=bound_to)

    def ask(
        self, method: MfaMethod | None, row: Row, code: str, *, flow: str, now: datetime
    ) -> bytes | None:
        """Ask the method about a code; return the next state when it proves possession."""
        state = None if method is None else self.open(row)
        if method is None or state is None:
            return None
        if isinstance(method, SentMethod):
            return method.prove(state, code, now=now, flow=flow)
        return method.prove(state, code, now=now)

    async def swap(self, row: Row, state: bytes, changes: Mapping[object, object]) -> bool:
        """Store the next state, if the row still holds the one that it came from."""
        table, version = AuthMfaMethod, cast("int", row["version"])
        sealed = self.seal(state, row_id=row["id"], user_id=row["user"])
        swapped = await self._database.write(
            table.update({table.state: sealed, table.version: version + 1, **changes})  # type: ignore[dict-item] # columns, all of them
            .where(table.id == row["id"], table.version == version)
            .returning(table.id)
        )
        return bool(swapped)

    async def reseal(self) -> int:
        """Seal again, under the newest key, what an older key sealed; return how many rows changed."""
        changed = 0
        for row in await AuthMfaMethod.select(*STATE_COLUMNS):
            try:
                if not self._sealer.needs_resealing(str(row["state"])):
                    continue
                state = self._open(row)
            except SealError:
                logger.warning(
                    "The second factor %s opens under no key and stays as it is.", row["id"]
                )
                continue
            changed += await self.swap(row, state, {})
        return changed


def _bound_to(row_id: object, user_id: object) -> str:
    return f"auth_mfa_method:{row_id}:{user_id}"
