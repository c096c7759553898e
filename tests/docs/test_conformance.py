"""The conformance page is what the generator writes, and every claim on it can be refuted by a test that exists."""

import pytest

from tests.admin.test_ways_in import WAYS
from tests.docs.conformance import PAGE, Row, Suite, page, problems, read_rows, read_suite
from tests.docs.pages import DOCS, rows, section

SUITE = Suite(frozenset({"tests/x.py::test_y"}), {"ABC-1": ("tests/x.py::test_y",)})


def test_every_row_has_its_proof_or_its_reason() -> None:
    """And every test, behaviour and page that is named exists."""
    assert list(problems(read_rows(), read_suite())) == []


def test_the_page_is_what_the_generator_writes() -> None:
    """``make conformance`` writes it anew."""
    assert PAGE.read_text(encoding="utf-8") == page(read_rows(), read_suite())


@pytest.mark.parametrize(
    "row",
    [
        Row("1.1.1", 1, "S", "x"),
        Row("1.1.1", 1, "S", "x", ("ABC-2",)),
        Row("1.1.1", 1, "S", "x", ("tests/x.py::test_z",)),
        Row("1.1.1", 1, "S", "x", ("docs/nowhere.md", "ABC-1")),
        Row("1.1.1", 1, "S", "x", ("docs/security.md",)),
        Row("1.1.1", 1, "D", "x", ("ABC-1",)),
        Row("1.1.1", 1, "-", "x", ("ABC-1",)),
        Row("1.1.1", 1, "S", "x", ("ABC-1",), missing="both"),
        Row("1.1.1", 1, "X", "x", ("ABC-1",)),
    ],
    ids=["nothing", "behaviour", "test", "page", "page only", "no page", "out", "both", "role"],
)
def test_a_claim_without_proof_is_found(row: Row) -> None:
    """Nothing counts by being written down."""
    good = [Row("1.1.1", 1, "S", "x", ("ABC-1",)), Row("1.1.1", 1, "-", "x", missing="why")]

    assert list(problems(good, SUITE)) == []
    assert list(problems([row], SUITE)) != []


def test_the_ways_in_are_those_of_the_suite() -> None:
    """ASVS 6.1.3: what is written down is what every state of an account is tried with."""
    assert {row[0] for row in rows(section(DOCS / "security.md", "Ways in"))} == set(WAYS)
