"""Authenticator apps that were set up elsewhere and go on here: people keep their phones and their paper."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import uuid4

from piccolo_fastapi_auth.database import Database
from piccolo_fastapi_auth.mfa.methods import moved_codes
from piccolo_fastapi_auth.mfa.states import States
from piccolo_fastapi_auth.mfa.tables import AuthMfaMethod, AuthRecoveryCode

TOTP: Final = "totp"
NAME: Final = "Authenticator app"
_PERIOD: Final = 30


@dataclass(frozen=True, slots=True)
class MovedFactor:
    """An authenticator app from elsewhere: six digits, SHA-1, thirty seconds."""

    secret: str = field(repr=False)
    recovery_codes: Sequence[str] = field(repr=False)
    created_at: datetime
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True)
class Added:
    """How many apps were taken in, and what else there is to say."""

    count: int
    notes: Counter[str]


class MovedFactors:
    """Takes authenticator apps in."""

    def __init__(self, database: Database, states: States) -> None:
        self._database = database
        self._states = states

    async def add(self, items: Sequence[tuple[object, MovedFactor]]) -> Added:
        """Seal the secrets for their people, who have a second factor from then on. Call it inside a transaction."""
        table = AuthMfaMethod
        columns = (
            table.id, table.user, table.method, table.name, table.state, table.created_at,
            table.confirmed_at, table.last_used_at,
        )  # fmt: skip
        rows = []
        for user_id, one in items:
            row_id = uuid4()
            state = self._states.seal(_state(one), row_id=row_id, user_id=user_id)
            rows.append(
                (
                    row_id, user_id, TOTP, NAME, state,
                    one.created_at, one.created_at, one.last_used_at,
                )
            )  # fmt: skip
        made = await self._database.insert_rows(columns, rows, unless=table.id)
        return Added(len(made), await self._add_codes(items))

    async def owners(self, people: Sequence[object]) -> set[object]:
        """Return those of the people who have a second factor."""
        table = AuthMfaMethod
        query = table.select(table.user).where(
            table.user.is_in(list(people)), table.confirmed_at.is_not_null()
        )
        return {row["user"] for row in await query}

    async def _add_codes(self, items: Sequence[tuple[object, MovedFactor]]) -> Counter[str]:
        table, notes, rows = AuthRecoveryCode, Counter[str](), []
        columns = (table.id, table.user, table.code_hash, table.derivation, table.created_at)
        for user_id, one in items:
            for stored in one.recovery_codes:
                parts = moved_codes.split(stored)
                if parts is None:
                    notes["recovery codes not moved: their hashes are of another form"] += 1
                else:
                    rows.append((uuid4(), user_id, parts.digest, parts.derivation, one.created_at))
        made = await self._database.insert_rows(columns, rows, unless=table.code_hash)
        if made:
            notes["recovery codes moved"] = len(made)
        return notes


def _state(one: MovedFactor) -> bytes:
    """Write the state of `Totp`. A code that was used before the move is not good again after it."""
    used = one.last_used_at
    # One step ahead: Piccolo API may have been told to take the next code, too.
    last_step = -1 if used is None else int(used.timestamp()) // _PERIOD + 1
    state = {"secret": one.secret, "digits": 6, "algorithm": "SHA1", "last_step": last_step}
    return json.dumps(state).encode()
