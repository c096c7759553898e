"""Canonical names."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.columns.base import OnDelete, OnUpdate
from piccolo.columns.column_types import ForeignKey, Varchar
from piccolo.columns.indexes import IndexMethod

from piccolo_fastapi_auth.users.user_table import user_table

# The user table is whichever the application configured, so its key may be an integer or a UUID.
User = user_table()

ID = "2026-11-24T15:19:52:202865"
VERSION = "1.38.0"
DESCRIPTION = "canonical names"


async def forwards() -> MigrationManager:
    manager = MigrationManager(migration_id=ID, app_name="fastapi_auth", description=DESCRIPTION)

    manager.add_table(
        class_name="AuthIdentifier",
        tablename="auth_identifier",
        schema=None,
        columns=None,
    )

    manager.add_column(
        table_class_name="AuthIdentifier",
        tablename="auth_identifier",
        column_name="user",
        db_column_name="user",
        column_class_name="ForeignKey",
        column_class=ForeignKey,
        params={
            "references": User,
            "on_delete": OnDelete.cascade,
            "on_update": OnUpdate.cascade,
            "target_column": None,
            "null": False,
            "primary_key": False,
            "unique": False,
            "index": True,
            "index_method": IndexMethod.btree,
            "choices": None,
            "db_column_name": None,
            "secret": False,
        },
        schema=None,
    )

    manager.add_column(
        table_class_name="AuthIdentifier",
        tablename="auth_identifier",
        column_name="canonical",
        db_column_name="canonical",
        column_class_name="Varchar",
        column_class=Varchar,
        params={
            "length": 320,
            "default": "",
            "null": False,
            "primary_key": False,
            "unique": True,
            "index": False,
            "index_method": IndexMethod.btree,
            "choices": None,
            "db_column_name": None,
            "secret": False,
        },
        schema=None,
    )

    return manager
