"""The example's own tables and their migrations."""

from pathlib import Path

from piccolo.conf.apps import AppConfig

from example_app.tables import Link, Tag, User

APP_CONFIG = AppConfig(
    app_name="reading_list",
    migrations_folder_path=str(Path(__file__).parent / "piccolo_migrations"),
    table_classes=[User, Link, Tag],
    migration_dependencies=[],
    commands=[],
)
