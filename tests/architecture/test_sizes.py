"""A file that must be scrolled for long hides something: the package keeps to a size."""

import ast
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
# Migrations are written by Piccolo, and never read as a whole.
MODULES: Final = sorted(
    path
    for path in (ROOT / "piccolo_fastapi_auth").rglob("*.py")
    if path.parent.name != "piccolo_migrations"
)
MODULE_LINES: Final = 400
FUNCTION_LINES: Final = 50


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_a_module_is_short(path: Path) -> None:
    """Past the limit a module is split."""
    lines = len(path.read_text(encoding="utf-8").splitlines())

    assert lines <= MODULE_LINES


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_every_function_is_short(path: Path) -> None:
    """Past the limit a function is split; its docstring and decorators count."""
    tree = ast.parse(path.read_text(encoding="utf-8"))

    long = {
        node.name: length
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES
    }

    assert long == {}
