"""The Piccolo app: every table of every slice. Add ``piccolo_fastapi_auth.piccolo_app`` to ``APP_REGISTRY``."""

from pathlib import Path

from piccolo.conf.apps import AppConfig, Command

from piccolo_fastapi_auth.commands import (
    activate,
    clean,
    clean_events,
    create_user,
    deactivate,
    import_piccolo_api,
    mfa_reset,
    new_key,
    rotate_encryption,
    routes,
    set_password,
)
from piccolo_fastapi_auth.tables import TABLES
from piccolo_fastapi_auth.users.user_table import user_app

APP_CONFIG = AppConfig(
    app_name="fastapi_auth",
    migrations_folder_path=str(Path(__file__).parent / "piccolo_migrations"),
    table_classes=[*TABLES],
    migration_dependencies=[user_app()],
    commands=[
        Command(create_user),
        Command(deactivate),
        Command(activate),
        Command(set_password),
        Command(clean),
        Command(clean_events),
        Command(routes),
        Command(mfa_reset),
        Command(rotate_encryption),
        Command(new_key),
        Command(import_piccolo_api),
    ],
)
