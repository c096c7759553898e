"""An empty folder, as a newcomer has one."""

from pathlib import Path

import pytest

from tests.docs.pages import Folder


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Nothing in it yet."""
    return Folder(tmp_path)
