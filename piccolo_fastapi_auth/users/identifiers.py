"""Names by which people log in, each once: one canonical spelling, over usernames and addresses together."""

from collections.abc import Iterable
from typing import Generic, TypeVar

from piccolo.columns import Column

from piccolo_fastapi_auth.database import Database, quoted
from piccolo_fastapi_auth.primitives.canonical import canonical
from piccolo_fastapi_auth.reads import Read, Row
from piccolo_fastapi_auth.users.tables import AuthIdentifier
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)


class Identifiers(Generic[UserT]):
    """The canonical names of the people of one ``Auth``.

    Rows that the library did not make (Piccolo Admin, older code) have none at first: the migration writes them,
    and so does their person's first log-in.
    """

    def __init__(self, database: Database, user_table: type[UserT]) -> None:
        self._database = database
        self._table = user_table
        self._key: Column = user_table._meta.primary_key
        self._find = _find_statement(user_table)

    async def find(self, identifier: str) -> Row | None:
        """Return who may be meant: key, password, active, and whether they have canonical names; the exact username goes first."""
        folded = canonical(identifier)
        rows = await self._database.fetch(self._find, folded, identifier, identifier, folded)
        found = sorted(
            rows, key=lambda row: (row["username"] != identifier, not row["is_canonical"])
        )
        return found[0] if found else None

    async def claim(self, user_id: object, names: Iterable[str]) -> None:
        """Take names for a person. Call it inside the transaction that makes the person.

        Raises:
            Exception: Of the driver: one of them is somebody else's; see `is_unique_violation`.
        """
        for name in dict.fromkeys(canonical(name) for name in names if name):
            await AuthIdentifier.insert(AuthIdentifier(user=user_id, canonical=name))

    async def replace(self, user_id: object, *, old: str, new: str) -> None:
        """Take one name of a person in place of another. Call it inside the transaction that changes the row.

        Raises:
            Exception: Of the driver: it is somebody else's; see `is_unique_violation`.
        """
        before, after = canonical(old), canonical(new)
        if before == after:
            return
        table = AuthIdentifier
        shown = await self.shown(user_id)
        # Whoever has the old address as username, too, keeps it to log in with.
        if not shown or before != canonical(shown[0]):
            await self._database.write(
                table.delete().where(table.user == user_id, table.canonical == before)
            )
        held = await table.exists().where(table.user == user_id, table.canonical == after)
        if not held:
            await self.claim(user_id, [new])

    async def adopt(self, user_id: object) -> None:
        """Write the names of a person whose row the library did not make; what somebody else holds stays theirs."""
        table = AuthIdentifier
        for name in dict.fromkeys(map(canonical, await self.shown(user_id))):
            await self._database.write(
                table.insert(table(user=user_id, canonical=name)).on_conflict(
                    action="DO NOTHING", target=table.canonical
                )
            )

    async def shown(self, user_id: object) -> list[str]:
        """Return the username and the address as they are stored, leaving out what is empty."""
        table = self._table
        row = await table.select(table.username, table.email).where(self._key == user_id).first()
        return [str(row[name]) for name in ("username", "email") if row[name]] if row else []


def _find_statement(table: type[AuthUser]) -> Read:
    """Return one statement whose every condition has a unique index: a join with OR would read the whole table."""
    key = f'u."{table._meta.primary_key._meta.db_column_name}"'
    user, names = table._meta.tablename, AuthIdentifier._meta.tablename
    by_name = f'(SELECT i."user" FROM {names} i WHERE i.canonical = {{}})'
    columns = (table.username, table.password, table.active, table.admin, table.superuser)
    return Read(
        {
            "user_key": (key, table._meta.primary_key),
            **{c._meta.name: (quoted(c, table="u"), c) for c in columns},
            "is_canonical": (f"{key} = {by_name}", None),
            "is_named": (f'EXISTS (SELECT 1 FROM {names} n WHERE n."user" = {key})', None),
        },
        f"FROM {user} u WHERE u.username = {{}} OR u.email = {{}} OR {key} = {by_name}",
    )
