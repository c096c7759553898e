"""Which table is the user table: the setting ``user_table``, read by tables, migrations and ``Auth`` alike.

The reference is resolved on first use, never on import: a user table may then live in a module that
imports this library.
"""

import functools
import importlib
import importlib.util
from typing import TypeVar, cast

from piccolo.columns.reference import LazyTableReference
from piccolo.table import Table

from piccolo_fastapi_auth.settings import AuthSettings, UserTableSetting
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)


class UserTableError(ValueError):
    """The setting ``user_table`` does not lead to a subclass of ``AuthUser``."""


@functools.cache
def user_table() -> type[AuthUser]:
    """Return the user table that ``PICCOLO_AUTH_USER_TABLE`` names; ``User`` when it is not set.

    Raises:
        UserTableError: The name cannot be imported, or is no subclass of ``AuthUser``.
    """
    name = UserTableSetting().user_table
    module, _, attribute = name.partition(":")
    try:
        table: object = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UserTableError(
            f"PICCOLO_AUTH_USER_TABLE={name} cannot be imported: {error}"
        ) from error
    if not (isinstance(table, type) and issubclass(table, AuthUser)):
        raise UserTableError(
            f"PICCOLO_AUTH_USER_TABLE={name} must be a subclass of piccolo_fastapi_auth.AuthUser"
        )
    return table


def checked_user_table(given: type[UserT] | None, settings: AuthSettings) -> type[UserT]:
    """Return the user table of an ``Auth``: the configured one, which the given one must be.

    Raises:
        UserTableError: They differ.
    """
    configured = user_table()
    name = f"{configured.__module__}:{configured.__qualname__}"
    if given is not None and given is not configured:
        raise UserTableError(
            f"user_table is {given.__module__}:{given.__qualname__}, but tables and migrations use {name}. "
            f"Set PICCOLO_AUTH_USER_TABLE={given.__module__}:{given.__qualname__} in the environment or in .env."
        )
    if settings.user_table != UserTableSetting().user_table:
        raise UserTableError(
            "give user_table by the environment or .env, where migrations read it too"
        )
    return cast("type[UserT]", configured)


def user_app() -> str:
    """Return the Piccolo app whose migrations make the user table: the nearest ``piccolo_app`` module.

    Only the name is looked up: the user table itself must not be imported while Piccolo reads its registry.
    """
    package = UserTableSetting().user_table.partition(":")[0]
    while package != __package__.partition(".")[0]:
        package = package.rpartition(".")[0]
        name = f"{package}.piccolo_app" if package else "piccolo_app"
        if importlib.util.find_spec(name):
            return name
        if not package:
            break
    return "piccolo.apps.user.piccolo_app"


class UserReference(LazyTableReference):
    """A foreign key's target, resolved on first use by `user_table`."""

    def __init__(self) -> None:
        super().__init__(table_class_name="User", module_path=__name__)

    def resolve(self) -> type[Table]:
        """Return the user table."""
        return user_table()

    def __str__(self) -> str:
        return "the user table"
