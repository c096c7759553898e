"""The page for those who come from Piccolo API names tests that exist."""

import ast
from typing import Final

from tests.docs.pages import DOCS, ROOT, rows

PAGE: Final = DOCS / "how-to" / "from-piccolo-api.md"


def test_every_row_names_a_test_that_exists() -> None:
    """File and function."""
    table = rows(PAGE.read_text(encoding="utf-8"))
    for *_, shown in table:
        file, _, name = shown.strip("` |").partition("::")
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        functions = {
            node.name
            for node in tree.body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        assert name in functions, shown

    assert len(table) > 20
