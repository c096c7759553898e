"""The library as it is shipped: its wheel, and what an environment needs besides, borrowed from the suite's."""

import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.docs.pages import ROOT

NAME: Final = "piccolo-fastapi-auth"


def build_wheel(folder: Path) -> Path:
    """Build it with the back end that pyproject.toml names; nothing is fetched."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory"]
    subprocess.run([*command, str(folder)], cwd=ROOT, check=True, capture_output=True, timeout=60)  # noqa: S603 - ours
    (wheel,) = folder.glob("*.whl")
    return wheel


def lend(environment: Path, *wanted: str) -> None:
    """Link what ``wanted`` asks for, and nothing else, into an environment; the library itself is left out."""
    (packages,) = environment.glob("lib/python*/site-packages")
    for one in _needed_by(*wanted):
        for top in {file.parts[0] for file in one.files or ()} - {"..", "__pycache__"}:
            place = packages / top
            if not place.exists():
                place.symlink_to(Path(str(one.locate_file(top))))
        for entry in one.entry_points.select(group="console_scripts"):
            script = environment / "bin" / entry.name
            imported = f"from {entry.module} import {entry.attr}"
            program = (
                f"#!{environment}/bin/python\nimport sys\n{imported}\nsys.exit({entry.attr}())\n"
            )
            script.write_text(program)
            script.chmod(0o755)


def _needed_by(*wanted: str) -> Iterator[Distribution]:
    waiting, seen = [Requirement(one) for one in wanted], set[tuple[str, str]]()
    for one in waiting:  # it grows
        name = canonicalize_name(one.name)
        for extra in {"", *one.extras} - {extra for known, extra in seen if known == name}:
            seen.add((name, extra))
            waiting += [
                more
                for more in map(Requirement, distribution(name).requires or ())
                if more.marker is None or more.marker.evaluate({"extra": extra})
            ]
    yield from map(distribution, sorted({name for name, _ in seen} - {NAME}))
