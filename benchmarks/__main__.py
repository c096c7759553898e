"""Run the measurements named on the command line, or all of them; exit 1 when a target is missed.

python -m benchmarks                      everything, under 25 minutes; writes the page in docs/
python -m benchmarks protected refresh    some parts; their figures are kept for the page
python -m benchmarks --quick              everything with small samples: does it run?
"""

import argparse
import asyncio
import importlib
import importlib.util
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from benchmarks.page import write_page
from benchmarks.report import ROOT, Findings, Run

PARTS = (
    "protected", "look_up", "refresh", "totp", "event_loop", "login_timing", "forgot_timing", "rate_limits", "memory",
    "moving", "start_up", "sockets",
)  # fmt: skip
RESULTS = ROOT / ".benchmarks" / "results"
QUICK_RESULTS = ROOT / ".benchmarks" / "quick"


def main() -> int:
    """Run, show, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=", ".join(PARTS))
    parser.add_argument("--quick", action="store_true", help="small samples; no figure to quote")
    parser.add_argument("--results", type=Path, help="where the figures of each part are kept")
    parser.add_argument("--page", action="store_true", help="write the page in docs/ in any case")
    chosen = parser.parse_args()
    if unknown := set(chosen.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    chosen.parts = chosen.parts or PARTS
    folder = chosen.results or (QUICK_RESULTS if chosen.quick else RESULTS)
    console = Console()
    for name in chosen.parts:
        run_part(name, quick=chosen.quick, console=console).save(folder)
    findings = [Findings.load(path) for name in PARTS if (path := folder / f"{name}.json").exists()]
    if chosen.page or (not chosen.quick and len(findings) == len(PARTS)):
        console.print(f"written: {write_page(findings)}")
    here = [one for one in findings if one.name in chosen.parts]
    missed = [target.what for one in here for target in one.targets if not target.met]
    met = sum(len(one.targets) for one in here) - len(missed)
    console.print(f"{met} targets met, {len(missed)} missed", *missed, sep="\n  ")
    return 1 if missed and not chosen.quick else 0


def run_part(name: str, *, quick: bool, console: Console) -> Findings:
    """Run one part on a loop of its own."""
    module = importlib.import_module(f"benchmarks.{name}")
    console.rule(name)
    begun = time.perf_counter()
    with (
        Run(Findings(name, quick), console) as run,
        asyncio.Runner(loop_factory=_loop_factory()) as runner,
    ):
        runner.run(module.main(run))
    run.findings.seconds = time.perf_counter() - begun
    run.findings.show(console)
    console.print(f"{run.findings.seconds:.0f} s")
    return run.findings


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's, if it is installed: what uvicorn does."""
    if importlib.util.find_spec("uvloop") is None:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module(
        "uvloop"
    ).new_event_loop
    return factory


if __name__ == "__main__":
    sys.exit(main())
