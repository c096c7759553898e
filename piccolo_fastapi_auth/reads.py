"""Reads on the way of every request: their SQL made once, and only those values converted that need it.

Piccolo has SQLite call a Python function for nearly every column, in the thread that reads: four times the cost of
the join itself. Here that thread hands over plain values, and each read knows which of its columns are more.
"""

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final
from uuid import UUID

from piccolo.columns import Column

Row = Mapping[str, Any]  # what a column holds, its table knows and mypy does not
Selected = Mapping[str, tuple[str, Column | None]]
"""By name the SQL of a value, and the column that gives it its type; ``None`` for a text or a number."""
Convert = Callable[[Any], object]


class Read:
    """One SELECT, written with ``{}`` for each value.

    Args:
        selected: What it selects, in this order.
        rest: From ``FROM`` on.
    """

    def __init__(self, selected: Selected, rest: str) -> None:
        self.text = (
            f"SELECT {', '.join(f'{sql} AS {name}' for name, (sql, _) in selected.items())} {rest}"
        )
        self._selected = selected
        self._names = tuple(selected)

    @cached_property
    def postgres(self) -> str:
        """The text for asyncpg, whose values have numbers."""
        first, *others = self.text.split("{}")
        return first + "".join(f"${number}{text}" for number, text in enumerate(others, start=1))

    @cached_property
    def in_sqlite(self) -> str:
        """The text in SQLite's words, still with ``{}``."""
        return self.text.replace("string_agg(", "group_concat(")

    @cached_property
    def sqlite(self) -> str:
        """The text for sqlite3."""
        return self.in_sqlite.replace("{}", "?")

    def from_sqlite(self, found: Iterable[Sequence[object]]) -> list[Row]:
        """Return the rows of a connection that converts nothing, with the types that Piccolo gives."""
        rows: list[Row] = []
        for values in found:
            row: dict[str, Any] = dict(zip(self._names, values, strict=True))
            for name, convert in self._converters:
                if (value := row[name]) is not None:
                    row[name] = convert(value)
            rows.append(row)
        return rows

    @cached_property
    def _converters(self) -> list[tuple[str, Convert]]:
        # Made at the first read, for a foreign key knows its type only when all tables are there.
        found = {name: _converter(column) for name, (_, column) in self._selected.items() if column}
        return [(name, convert) for name, convert in found.items() if convert]


def _converter(column: Column) -> Convert | None:
    """Return what makes a column's value of what SQLite holds, as Piccolo would."""
    declared = str(column.column_type).partition("(")[0].partition(" ")[0].upper()
    if declared in _CONVERTERS:
        return _CONVERTERS[declared]
    registered = sqlite3.converters.get(declared)  # by Piccolo, or by the application
    return None if registered is None else lambda value: registered(_as_bytes(value))


def _as_bytes(value: object) -> bytes:
    """Return a value as sqlite3 shows it to a converter."""
    return value if isinstance(value, bytes) else str(value).encode()


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)  # stored in UTC, whatever it says


_CONVERTERS: Final[dict[str, Convert | None]] = {
    "INTEGER": None,  # sqlite3 gives a whole number
    "BOOLEAN": lambda value: (
        value == 1
    ),  # a text that other code left there, such as 'f', is not true
    "UUID": UUID,
    "TIMESTAMPTZ": _moment,
}
