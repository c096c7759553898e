"""Reads that convert what SQLite holds by themselves: the same values and types as by Piccolo."""

import uuid
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest
from piccolo.columns import (
    JSON,
    JSONB,
    UUID,
    Array,
    BigInt,
    Boolean,
    Bytea,
    Date,
    DoublePrecision,
    Integer,
    Interval,
    Numeric,
    Real,
    Text,
    Time,
    Timestamp,
    Timestamptz,
    Varchar,
)
from piccolo.engine.base import Engine
from piccolo.table import Table

from piccolo_fastapi_auth.database import Database, quoted
from piccolo_fastapi_auth.reads import Read

MOMENT = datetime(2026, 11, 24, 1, 2, 3, 456789, tzinfo=UTC)


class Everything(Table, tablename="everything"):
    """A column of each type that a user table may have."""

    key = UUID(primary_key=True)
    a_boolean = Boolean(null=True)
    a_big_int = BigInt(null=True)
    an_integer = Integer(null=True)
    a_numeric = Numeric(digits=(9, 3), null=True)
    a_real = Real(null=True)
    a_double = DoublePrecision(null=True)
    a_text = Text(null=True)
    a_varchar = Varchar(null=True)
    some_bytes = Bytea(null=True)
    a_date = Date(null=True)
    a_time = Time(null=True)
    a_timestamp = Timestamp(null=True)
    a_timestamptz = Timestamptz(null=True)
    an_interval = Interval(null=True)
    a_json = JSON(null=True)
    a_jsonb = JSONB(null=True)
    an_array = Array(base_column=Integer(), null=True)
    some_times = Array(base_column=Timestamptz(), null=True)


FULL: dict[str, Any] = {
    "a_boolean": False, "a_big_int": 2**60 + 1, "an_integer": -7, "a_numeric": Decimal("1.125"), "a_real": 0.5,
    "a_double": 0.1, "a_text": "Zoë {}", "a_varchar": "1", "some_bytes": b"\0\xff", "a_date": date(2026, 11, 24),
    "a_time": time(1, 2, 3), "a_timestamp": MOMENT.replace(tzinfo=None), "a_timestamptz": MOMENT,
    "an_interval": timedelta(days=1, microseconds=5), "a_json": '{"a": true}', "a_jsonb": '{"a": [1]}',
    "an_array": [1, 2], "some_times": [MOMENT],
}  # fmt: skip
READ = Read(
    {c._meta.name: (quoted(c, table="e"), c) for c in Everything._meta.columns},
    "FROM everything e WHERE e.key = {} AND (e.a_text = {} OR e.a_text IS NULL)",
)


@pytest.fixture
def tables() -> Sequence[type[Table]]:
    """One table, which stands for whatever columns an application adds to its people."""
    return [Everything]


@pytest.mark.parametrize("values", [FULL, dict.fromkeys(FULL)], ids=["full", "null"])
@pytest.mark.usefixtures("database")
async def test_every_type_comes_back_as_piccolo_gives_it(values: dict[str, Any]) -> None:
    """Value and type, over the fast way, and inside a transaction, where Piccolo reads."""
    key = uuid.uuid4()
    await Everything.insert(Everything(key=key, **values))
    (expected,) = await Everything.raw("SELECT * FROM everything")
    database = Database(Everything)
    await database.open()
    try:
        (fast,) = await database.fetch(READ, key, "Zoë {}")
        async with database.atomic():
            (inside,) = await database.fetch(READ, key, "Zoë {}")
    finally:
        await database.close()

    assert dict(fast) == dict(inside) == expected
    assert {name: type(value) for name, value in fast.items()} == {
        name: type(value) for name, value in expected.items()
    }


@pytest.mark.parametrize("engine_kind", ["sqlite"], indirect=True)
@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("stored", ["f", "false", "t", 2, 0, 1])
async def test_a_boolean_is_true_as_piccolo_says(stored: object) -> None:
    """Other code may leave texts there, as an import of PostgreSQL's ``f`` does: nobody is a superuser by that."""
    key = uuid.uuid4()
    await Everything.insert(Everything(key=key, a_text="x"))
    await Everything.raw("UPDATE everything SET a_boolean = {}", stored)
    (expected,) = await Everything.raw("SELECT a_boolean FROM everything")
    database = Database(Everything)
    await database.open()
    try:
        (row,) = await database.fetch(READ, key, "x")
    finally:
        await database.close()

    assert row["a_boolean"] is expected["a_boolean"]


@pytest.mark.parametrize("engine_kind", ["sqlite"], indirect=True)
@pytest.mark.usefixtures("database")
async def test_a_time_without_a_zone_is_in_utc() -> None:
    """SQLite's own ``CURRENT_TIMESTAMP`` writes none, and a session must not live by the host's zone."""
    key = uuid.uuid4()
    await Everything.insert(Everything(key=key, a_text="x"))
    await Everything.raw("UPDATE everything SET a_timestamptz = '2026-11-24 01:02:03'")
    database = Database(Everything)
    await database.open()
    try:
        (row,) = await database.fetch(READ, key, "x")
    finally:
        await database.close()

    assert row["a_timestamptz"] == datetime(2026, 11, 24, 1, 2, 3, tzinfo=UTC)


@pytest.mark.parametrize("engine_kind", ["postgres"], indirect=True)
async def test_an_engine_that_logs_its_queries_logs_these_too(
    database: Engine[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever looks for a query in Piccolo's log finds it."""
    database.log_queries = True
    await Database(Everything).fetch(READ, uuid.uuid4(), "x")

    assert "everything" in capsys.readouterr().out
