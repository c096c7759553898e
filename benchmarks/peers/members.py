"""A user table for those contestants that bring none: plain Piccolo, read with ``objects()``."""

import contextlib
from collections.abc import AsyncIterator

from piccolo.columns import Boolean, Text, Varchar
from piccolo.table import Table, create_table_class

from benchmarks.peer import PASSWORD, Argon2
from benchmarks.places import Place, piccolo_engine


class Member(Table):
    """What the three tables have in common; only its copies are used."""

    username = Varchar(length=100, unique=True)
    email = Varchar(length=255, unique=True)
    password = Text()
    active = Boolean(default=True)


@contextlib.asynccontextmanager
async def members(name: str, place: Place, argon2: Argon2) -> AsyncIterator[type[Member]]:
    """Make a table of its own for one contestant, with alice in it."""
    table = create_table_class(
        f"Member{name}", bases=(Member,), class_kwargs={"tablename": f"member_{name}"}
    )
    async with piccolo_engine(place, [table]):
        if not await table.exists().where(table.username == "alice"):
            await table.insert(
                table(
                    username="alice",
                    email="alice@example.com",
                    password=argon2.hasher().hash(PASSWORD),
                    active=True,
                )
            )
        yield table


async def find(table: type[Member], username: str) -> Member | None:
    """Return the member of that name, as most people would write it."""
    return await table.objects().get(table.username == username)
