"""The index of the trail over two columns, which Piccolo's columns cannot say."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.table import Table

ID = "2026-11-24T15:17:30:000000"
VERSION = "1.38.0"
DESCRIPTION = "the index behind a person's own events"


class RawTable(Table):
    """Whatever database the application has."""


async def add_index() -> None:
    await RawTable.raw('CREATE INDEX auth_event_user_id ON auth_event ("user", "id")')


async def drop_index() -> None:
    await RawTable.raw("DROP INDEX auth_event_user_id")


async def forwards() -> MigrationManager:
    manager = MigrationManager(migration_id=ID, app_name="fastapi_auth", description=DESCRIPTION)
    manager.add_raw(add_index)
    manager.add_raw_backwards(drop_index)
    return manager
