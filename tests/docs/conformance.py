"""Write docs/explanation/conformance.md from asvs.toml and the suite: ``python -m tests.docs.conformance``."""

import ast
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final

from tests.docs.pages import DOCS, ROOT

DATA: Final = Path(__file__).with_name("asvs.toml")
PAGE: Final = DOCS / "explanation" / "conformance.md"
OUT_OF_SCOPE: Final = "-"
ROLES: Final = {"S": "default", "E": "to switch on", "D": "document", OUT_OF_SCOPE: "out of scope"}
_BEHAVIOUR: Final = re.compile(r"\b[A-Z]{3,4}-\d+\b")


@dataclass(frozen=True)
class Row:
    """A requirement of the standard, and what shows that it holds."""

    id: str
    level: int
    role: str
    asks: str
    shown: tuple[str, ...] = ()
    missing: str = ""

    @property
    def counts(self) -> bool:
        """Whether something shows it."""
        return bool(self.shown)


@dataclass(frozen=True)
class Suite:
    """The tests there are, and the behaviours that their docstrings name."""

    tests: frozenset[str]
    behaviours: Mapping[str, tuple[str, ...]]

    def files(self, behaviour: str) -> list[str]:
        """Return where its tests are; their names would make the page change with every test."""
        return sorted({name.partition("::")[0] for name in self.behaviours[behaviour]})


def read_rows() -> list[Row]:
    """Return the rows, in the order of the standard."""
    found = tomllib.loads(DATA.read_text(encoding="utf-8"))["rows"]
    rows = [Row(id_, **{**row, "shown": tuple(row.get("shown", ()))}) for id_, row in found.items()]
    return sorted(rows, key=lambda row: [int(part) for part in row.id.split(".")])


def read_suite() -> Suite:
    """Read every test file, without importing any."""
    tests: dict[str, str] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith(
                "test_"
            ):
                name = f"{path.relative_to(ROOT).as_posix()}::{node.name}"
                tests[name] = ast.get_docstring(node) or ""
    named = {one for text in tests.values() for one in _BEHAVIOUR.findall(text)}
    return Suite(
        frozenset(tests),
        {
            one: tuple(n for n, text in tests.items() if re.search(rf"\b{one}\b", text))
            for one in named
        },
    )


def problems(rows: Iterable[Row], suite: Suite) -> Iterator[str]:
    """Yield what is wrong: a proof that does not exist, or a row with neither proof nor reason."""
    for row in rows:
        pages = [one for one in row.shown if one.startswith("docs/")]
        known = suite.tests | suite.behaviours.keys()
        for one in row.shown:
            if one not in known and not (one in pages and (ROOT / one.partition("#")[0]).is_file()):
                yield f"{row.id}: {one} does not exist"
        if bool(row.shown) == bool(row.missing):
            yield f"{row.id}: give either what shows it or why nothing does"
        if row.role not in ROLES or (row.role == OUT_OF_SCOPE and row.shown):
            yield f"{row.id}: role {row.role}"
        if row.shown and (row.role == "D") > bool(pages):
            yield f"{row.id}: a document is asked for"
        if row.shown and row.role in {"S", "E"} and len(pages) == len(row.shown):
            yield f"{row.id}: a page shows nothing that a test could refute"


def score(rows: Iterable[Row], roles: str, level: int = 0) -> str:
    """Return how many rows of these roles count, such as ``3 of 4``."""
    chosen = [row for row in rows if row.role in roles and level in {0, row.level}]
    return f"{sum(row.counts for row in chosen)} of {len(chosen)}"


def page(rows: list[Row], suite: Suite) -> str:
    """Return the whole page."""
    data = tomllib.loads(DATA.read_text(encoding="utf-8"))
    scope = [row for row in rows if row.role != OUT_OF_SCOPE]
    parts = [
        data["intro"] + "\n",
        "| | all | level 1 | level 2 | level 3 |\n|---|---|---|---|---|",
        *(
            f"| {name} | " + " | ".join(score(scope, roles, level) for level in range(4)) + " |"
            for name, roles in (("default install", "SD"), ("everything switched on", "SDE"))
        ),
    ]
    for chapter, members in groupby(rows, key=lambda row: row.id.partition(".")[0]):
        listed = list(members)
        parts += [
            f"\n## V{chapter} {data['chapters'][chapter]}\n",
            f"Shown: {score(listed, 'SDE')}.\n",
            "| id | level | role | asks | shown by |\n|---|---|---|---|---|",
            *(f"| {r.id} | {r.level} | {ROLES[r.role]} | {r.asks} | {_shown(r)} |" for r in listed),
        ]
    used = sorted({one for row in rows for one in row.shown if one in suite.behaviours}, key=_order)
    parts += ["\n## Behaviours and their tests\n", "| behaviour | tests in |\n|---|---|"]
    parts += [
        f"| {one} | {'<br>'.join(f'`{file}`' for file in suite.files(one))} |" for one in used
    ]
    return "\n".join(parts) + "\n"


def _order(behaviour: str) -> tuple[str, int]:
    name, _, number = behaviour.partition("-")
    return name, int(number)


def _shown(row: Row) -> str:
    if not row.counts:
        return row.missing if row.role == OUT_OF_SCOPE else f"**not shown**: {row.missing}"
    return "<br>".join(_linked(one) for one in row.shown)


def _linked(proof: str) -> str:
    if not proof.startswith("docs/"):
        return f"`{proof}`" if "::" in proof else proof
    path = proof.removeprefix("docs/")
    return f"[{Path(path.partition('#')[0]).stem}](../{path})"


if __name__ == "__main__":
    PAGE.write_text(page(read_rows(), read_suite()), encoding="utf-8")
