"""The measurements themselves: they run, they compute what they say, and their page can be made."""

import importlib
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks import page, plot
from benchmarks.__main__ import PARTS
from benchmarks.report import ROOT, Bars, Findings
from benchmarks.rounds import Plan, Rounds, race


@pytest.mark.timeout(180)  # it starts a database of its own
def test_a_part_runs_and_keeps_its_figures(tmp_path: Path) -> None:
    """One part with small samples, as somebody types it; the page is left alone."""
    before = (ROOT / "docs" / page.PAGE).read_bytes()
    command = [sys.executable, "-m", "benchmarks", "totp", "--quick", "--results", str(tmp_path)]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - ours

    assert done.returncode == 0, done.stdout + done.stderr
    found = Findings.load(tmp_path / "totp.json")
    assert [len(table.rows) for table in found.tables] == [3, 1, 1]
    assert all(float(row[-1].replace(",", "")) > 0 for table in found.tables for row in table.rows)
    assert (ROOT / "docs" / page.PAGE).read_bytes() == before


@pytest.mark.parametrize("name", PARTS)
def test_every_part_can_be_loaded_without_its_peers(name: str) -> None:
    """Whoever is not installed is left out, and the page has a heading for what is left."""
    assert callable(importlib.import_module(f"benchmarks.{name}").main)
    assert name in page.HEADINGS


async def test_variants_take_turns() -> None:
    """Each runs once before any runs again, so that a slow minute slows all of them."""
    order: list[str] = []

    async def one() -> None:
        order.append("one")

    async def two() -> None:
        order.append("two")

    found = await race({"one": one, "two": two}, Plan(rounds=5, seconds=0.0), in_flight=3)

    assert {name: len(values) for name, values in found.items()} == {"one": 5, "two": 5}
    measured = order[-30:]  # three in flight, two variants, five rounds
    turns = [tuple(sorted(measured[at : at + 6])) for at in range(0, 30, 6)]
    assert turns == [("one",) * 3 + ("two",) * 3] * 5


def test_ratios_are_taken_within_a_round() -> None:
    """A round in which everything was slow changes no ratio."""
    found = Rounds({"bare": [10.0, 100.0, 10.0], "ours": [20.0, 200.0, 21.0]})

    assert found.ratio("ours", "bare") == 2.0
    assert found.over("ours", "bare") == 11.0


def test_the_page_and_its_picture_can_be_made(tmp_path: Path) -> None:
    """Targets with their verdict, one sentence a line, a picture that names no other place."""
    (tmp_path / "explanation").mkdir()
    (tmp_path / "images").mkdir()
    found = Findings("protected", quick=False)
    found.table("JWT", ["", "µs"], [["ours", "30"]], note="One sentence. And another.")
    found.at_most("JWT over bare", 30.0, 35.0, " µs")
    found.at_least("faster than others", 9.0, 10.0)
    found.bars.append(Bars("JWT & user", {"ours": 30.0, "others": 9000.0}))

    written = page.write_page([found], docs=tmp_path).read_text()

    assert "| JWT over bare | <= 35 µs | 30 µs | yes |" in written
    assert "| faster than others | >= 10 | 9 | **no** |" in written
    assert "One sentence.\nAnd another." in written
    picture = ET.fromstring((tmp_path / page.PICTURE).read_text())  # noqa: S314 - written above
    bars = [rect for rect in picture.iter() if rect.get("class") in {"ours", "other"}]
    widths = [float(str(bar.get("width"))) for bar in bars]
    assert widths == sorted(widths)
    assert widths[-1] == plot.WIDTH - plot.LEFT - plot.RIGHT
