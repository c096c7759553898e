"""The site builds strictly, and reading it fetches nothing from elsewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, README, ROOT

ELSEWHERE = re.compile(
    r"<(?:script|img|link|iframe)\b[^>]*?\b(?:src|href)=[\"']?(?:https?:)?//", re.IGNORECASE
)


@pytest.mark.timeout(180)
def test_every_link_and_name_resolves(tmp_path: Path) -> None:
    """``mkdocs build --strict``: broken links, missing anchors, pages outside the navigation all fail."""
    done = subprocess.run(  # noqa: S603 - our own words
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))

    assert len(pages) > len(list(DOCS.rglob("*.md")))  # and the page for what is not found
    assert [page.name for page in pages if ELSEWHERE.search(page.read_text())] == []


def test_pictures_are_self_contained() -> None:
    """A drawing names no other host, no font file and no script."""
    drawings = list((DOCS / "images").glob("*.svg"))

    assert drawings
    for drawing in drawings:
        text = drawing.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?:|<script|@import|href=\"[^#]", text), drawing.name


@pytest.mark.parametrize("page", [README, *sorted(DOCS.rglob("*.md"))], ids=lambda page: page.stem)
def test_a_line_holds_one_sentence(page: Path) -> None:
    """So that a change reads as the change of a sentence."""
    prose = re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    lines = [line for line in prose.splitlines() if not line.startswith(("|", "#"))]

    assert [line for line in lines if re.search(r"[a-z)`][.?!] [A-Z]", line)] == []
