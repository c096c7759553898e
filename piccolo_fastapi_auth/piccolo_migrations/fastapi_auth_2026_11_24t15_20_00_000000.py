"""The canonical names of the people who are there already."""

import unicodedata
from collections.abc import Mapping
from typing import Any

from piccolo.apps.migrations.auto.migration_manager import MigrationManager

from piccolo_fastapi_auth.users.user_table import user_table

ID = "2026-11-24T15:20:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "canonical names of existing people"
BATCH = 500


def canonical(text: str) -> str:
    """Fold a name; written out, because a migration stays as it is."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return unicodedata.normalize("NFKC", folded).strip()


async def fill() -> None:
    """Write the names in batches. Of two people with one canonical name the older row has it; the other logs in as ever."""
    user = user_table()
    key = user._meta.primary_key._meta.db_column_name
    columns = f'"{key}" AS user_key, username, email'
    table = f'"{user._meta.tablename}"'
    rows: list[Mapping[str, Any]] = await user.raw(
        f'SELECT {columns} FROM {table} ORDER BY "{key}" LIMIT {BATCH}'
    )
    while rows:
        pairs = [
            pair
            for row in rows
            for name in (row["username"], row["email"])
            if name
            for pair in (row["user_key"], canonical(name))
        ]
        if pairs:
            places = ", ".join("({}, {})" for _ in pairs[::2])
            await user.raw(
                'INSERT INTO auth_identifier ("user", canonical) VALUES '
                f"{places} ON CONFLICT (canonical) DO NOTHING",
                *pairs,
            )
        rows = await user.raw(
            f'SELECT {columns} FROM {table} WHERE "{key}" > {{}} ORDER BY "{key}" LIMIT {BATCH}',
            rows[-1]["user_key"],
        )


async def nothing() -> None:
    """Leave the names to the migration that drops their table."""


async def forwards() -> MigrationManager:
    manager = MigrationManager(migration_id=ID, app_name="fastapi_auth", description=DESCRIPTION)
    manager.add_raw(fill)
    manager.add_raw_backwards(nothing)
    return manager
