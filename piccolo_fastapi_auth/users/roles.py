"""Roles of one ``Auth``: defined by the application, granted to people. The only writer of their tables."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid4, uuid5

from piccolo_fastapi_auth.database import Database
from piccolo_fastapi_auth.errors import NotFoundError
from piccolo_fastapi_auth.primitives.clock import Clock
from piccolo_fastapi_auth.users.role_tables import AuthRole, AuthRoleScope, AuthUserRole

_KEYS: Final = UUID("6f1d5c1e-3b0e-4d5e-9a57-2f6a4c0f7d11")


@dataclass(frozen=True, slots=True)
class Role:
    """A role and its scopes."""

    id: UUID
    name: str
    description: str
    scopes: tuple[str, ...]


class Roles:
    """Roles: ``await auth.roles.define("editor", ["posts:write"])`` in a script or at the start."""

    def __init__(self, database: Database, *, declared: Mapping[str, str], clock: Clock) -> None:
        self._database = database
        self._declared = declared
        self._clock = clock

    async def define(self, name: str, scopes: Iterable[str], *, description: str = "") -> None:
        """Make a role, or change which scopes it has; whoever has the role has these from their next request on.

        Raises:
            ValueError: A scope is not declared with ``Auth(scopes={...})``, or the name is empty, long or not printable.
        """
        wanted = set(scopes)
        if unknown := wanted - set(self._declared):
            raise ValueError(f"not declared: {sorted(unknown)}")
        if not name or len(name) > 64 or not name.isprintable() or "/" in name:  # noqa: PLR2004 - the column's length
            raise ValueError("a role's name is 1 to 64 printable characters without /")
        async with self._database.atomic():
            made = AuthRole(id=uuid4(), name=name, description=description)
            await AuthRole.insert(made).on_conflict(
                action="DO UPDATE", target=AuthRole.name, values=[AuthRole.description]
            )
            (row,) = await AuthRole.select(AuthRole.id).where(AuthRole.name == name)
            await AuthRoleScope.delete().where(AuthRoleScope.role == row["id"])
            rows = [
                AuthRoleScope(id=uuid5(_KEYS, f"{row['id']} {scope}"), role=row["id"], scope=scope)
                for scope in sorted(wanted)
            ]
            if rows:
                await AuthRoleScope.insert(*rows)

    async def remove(self, name: str) -> bool:
        """Remove a role, from everybody who has it; return whether there was one."""
        gone = await self._database.write(
            AuthRole.delete().where(AuthRole.name == name).returning(AuthRole.id)
        )
        return bool(gone)

    async def all(self) -> list[Role]:
        """Return every role by name."""
        rows = await AuthRole.select().order_by(AuthRole.name)
        held = await AuthRoleScope.select(AuthRoleScope.role, AuthRoleScope.scope)
        return [
            Role(
                row["id"],
                row["name"],
                row["description"],
                tuple(sorted(one["scope"] for one in held if one["role"] == row["id"])),
            )
            for row in rows
        ]

    async def named(self, name: str) -> Role:
        """Return a role.

        Raises:
            NotFoundError: There is none of that name.
        """
        for role in await self.all():
            if role.name == name:
                return role
        raise NotFoundError

    async def of_user(self, user_id: object) -> list[Role]:
        """Return the roles of a person, by name."""
        rows = await AuthUserRole.select(AuthUserRole.role).where(AuthUserRole.user == user_id)
        mine = {row["role"] for row in rows}
        return [role for role in await self.all() if role.id in mine]

    async def scopes_of(self, user_id: object) -> tuple[str, ...]:
        """Return the scopes that a person has by their roles."""
        return tuple(
            sorted({scope for role in await self.of_user(user_id) for scope in role.scopes})
        )

    async def grant(self, user_id: object, role: Role) -> bool:
        """Give a person a role; return whether they did not have it. The row's key makes it one of many at once."""
        row = AuthUserRole(
            id=uuid5(_KEYS, f"{user_id} {role.id}"),
            user=user_id,
            role=role.id,
            granted_at=self._clock(),
        )
        query = AuthUserRole.insert(row).on_conflict(action="DO NOTHING", target=AuthUserRole.id)
        return bool(await self._database.write(query))

    async def revoke(self, user_id: object, role: Role) -> bool:
        """Take a role from a person; return whether they had it."""
        table = AuthUserRole
        gone = await self._database.write(
            table.delete().where(table.user == user_id, table.role == role.id).returning(table.id)
        )
        return bool(gone)
