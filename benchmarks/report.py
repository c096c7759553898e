"""What a part found: tables, targets and bars; kept as JSON, so that parts may run one by one."""

import json
import platform
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.markdown import Markdown
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benchmarks.rounds import Plan

FULL, SMALL = Plan(rounds=11, seconds=0.08), Plan(rounds=3, seconds=0.01)
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Table:
    """Figures, with what they are above them and what to know below."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    def markdown(self) -> str:
        """The table as Markdown, the first column to the left and the others to the right."""
        line = "|".join(["---", *["---:"] * (len(self.columns) - 1)])
        head = [f"| {' | '.join(self.columns)} |", f"|{line}|"]
        body = [f"| {' | '.join(row)} |" for row in self.rows]
        note = ["", self.note] if self.note else []
        return "\n".join([f"**{self.title}**", "", *head, *body, *note, ""])


@dataclass(frozen=True, slots=True)
class Target:
    """What was promised, and what was measured."""

    what: str
    wanted: str
    measured: str
    met: bool


@dataclass(frozen=True, slots=True)
class Bars:
    """One chart of the plot: microseconds over the bare endpoint."""

    title: str
    values: dict[str, float]


@dataclass
class Findings:
    """What one part found."""

    name: str
    quick: bool
    seconds: float = 0.0
    python: str = field(default_factory=platform.python_version)
    tables: list[Table] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    bars: list[Bars] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def table(
        self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, note: str = ""
    ) -> None:
        """Keep a table."""
        self.tables.append(Table(title, list(columns), [list(row) for row in rows], note))

    def at_most(self, what: str, measured: float, bound: float, unit: str = "") -> None:
        """Keep a target that is met from below."""
        shown = f"{measured:.3g}{unit}"
        self.targets.append(Target(what, f"<= {bound:g}{unit}", shown, measured <= bound))

    def at_least(self, what: str, measured: float, bound: float, unit: str = "") -> None:
        """Keep a target that is met from above."""
        shown = f"{measured:.3g}{unit}"
        self.targets.append(Target(what, f">= {bound:g}{unit}", shown, measured >= bound))

    def save(self, folder: Path) -> None:
        """Write the JSON of this part."""
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(asdict(self), indent=1)
        (folder / f"{self.name}.json").write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what a part has written."""
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        found["tables"] = [Table(**table) for table in found["tables"]]
        found["targets"] = [Target(**target) for target in found["targets"]]
        found["bars"] = [Bars(**bars) for bars in found["bars"]]
        return cls(**found)

    def show(self, console: Console) -> None:
        """Print it for the person who waits."""
        for table in self.tables:
            console.print(Markdown(table.markdown()))
        for target in self.targets:
            word = "met   " if target.met else "MISSED"
            console.print(
                f"{word} {target.what}: {target.measured}, wanted {target.wanted}", markup=False
            )


@dataclass
class Run(AbstractContextManager["Run"]):
    """One part while it runs: how much to measure, its progress bar, and what it has found."""

    findings: Findings
    console: Console
    chosen: Plan | None = None

    def __post_init__(self) -> None:
        columns = (TextColumn("{task.description:14}"), BarColumn())
        self._progress = Progress(
            *columns,
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self._task = self._progress.add_task(self.findings.name, total=None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    @property
    def quick(self) -> bool:
        """Whether small samples are enough."""
        return self.findings.quick

    @property
    def plan(self) -> Plan:
        """How much to measure."""
        return self.chosen or (SMALL if self.quick else FULL)

    def expect(self, steps: int) -> None:
        """Say how many steps there will be."""
        self._progress.update(self._task, total=steps)

    def step(self) -> None:
        """Move the bar by one."""
        self._progress.advance(self._task)
