"""What the repository holds: the agreed entries, and nothing that ties it to one machine."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
ENTRIES: Final = {
    "LICENSE",
    "Makefile",
    "README.md",
    "benchmarks",
    "constraints.txt",
    "docs",
    "example_app",
    "mkdocs.yml",
    "noxfile.py",  # where nox looks for it, by this name
    "piccolo_fastapi_auth",
    "pyproject.toml",
    "tests",
}
# Put together from halves, so that this file does not hold what it looks for.
REGISTRIES: Final = re.compile(
    "|".join(
        ("pypi" + r"\.org/simple", "files" + r"\.pythonhosted\.org", "registry" + r"\.npmjs\.")
    ),
    re.IGNORECASE,
)
MACHINE_PATHS: Final = re.compile(r"(?<![\w./:-])/(?:" + "work|root" + r")(?:/|\b)(?!\w)")


def _tracked() -> list[str]:
    """Name what git tracks or would track."""
    git = shutil.which("git")
    assert git is not None, "this test needs git"
    done = subprocess.run(  # noqa: S603 - git, with fixed arguments
        [git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return sorted(name for name in done.stdout.split("\0") if name and (ROOT / name).is_file())


def _matches(pattern: re.Pattern[str]) -> dict[str, list[str]]:
    found = {}
    for name in _tracked():
        text = (ROOT / name).read_bytes().decode("utf-8", errors="ignore")
        if hits := pattern.findall(text):
            found[name] = hits
    return found


def test_the_top_level_holds_what_was_agreed() -> None:
    """Beside these there are only files whose names begin with a dot."""
    entries = {name.split("/", maxsplit=1)[0] for name in _tracked()}

    assert {entry for entry in entries if not entry.startswith(".")} <= ENTRIES


def test_no_file_names_a_registry() -> None:
    """Where packages come from is the installer's business."""
    assert _matches(REGISTRIES) == {}


def test_no_file_names_a_folder_of_one_machine() -> None:
    """Paths are relative, or belong to the standard layout of a system."""
    assert _matches(MACHINE_PATHS) == {}
