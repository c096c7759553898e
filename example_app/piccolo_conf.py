"""Which database, and which Piccolo apps have migrations in it."""

import os
from importlib.util import find_spec

from piccolo.conf.apps import AppRegistry
from piccolo.engine import PostgresEngine, SQLiteEngine

DATABASE_URL = os.environ.get("DATABASE_URL", "")

DB = (
    PostgresEngine({"dsn": DATABASE_URL})
    if DATABASE_URL.startswith("postgres")
    else SQLiteEngine(
        path=DATABASE_URL.removeprefix("sqlite:///") or "reading_list.sqlite", timeout=30
    )
)

APP_REGISTRY = AppRegistry(
    apps=[
        "example_app.piccolo_app",
        "piccolo_fastapi_auth.piccolo_app",
        # The sessions of Piccolo Admin, where it is installed.
        *(["piccolo_api.session_auth.piccolo_app"] if find_spec("piccolo_admin") else []),
    ]
)
