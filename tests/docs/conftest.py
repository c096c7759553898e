"""An empty folder, as a newcomer has one, and the wheel that they install."""

from pathlib import Path

import pytest

from tests.docs.pages import Folder
from tests.docs.wheel import build_wheel


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Nothing in it yet."""
    return Folder(tmp_path)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library's wheel, alone in its folder."""
    return build_wheel(tmp_path_factory.mktemp("wheel"))
