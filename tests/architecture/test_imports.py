"""The direction of imports, and the one import that would open routes."""

import ast
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
MODULES: Final = sorted((ROOT / "piccolo_fastapi_auth").rglob("*.py"))


def test_the_import_contracts_hold() -> None:
    """Every contract in ``.importlinter`` is kept."""
    program = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"
    done = subprocess.run(  # noqa: S603 - the program above
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_annotations_are_not_postponed(path: Path) -> None:
    """With postponed annotations FastAPI takes a guard made in a closure for a query parameter."""
    tree = ast.parse(path.read_text(encoding="utf-8"))

    postponed = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        and node.module == "__future__"
        and any(alias.name == "annotations" for alias in node.names)
    ]

    assert postponed == []
