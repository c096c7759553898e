"""The reference pages hold what the code holds, and nothing else."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi import FastAPI

import piccolo_fastapi_auth
from piccolo_fastapi_auth import Auth, AuthError, AuthSettings
from tests.docs.pages import DOCS, README, ROOT, rows, section
from tests.fixtures import SECRET

PACKAGE = ROOT / "piccolo_fastapi_auth"
# Defaults that a table cannot show as a value.
IN_WORDS = {
    "secret_keys": "required",
    "hash_concurrency": "one a core",
    "password_min_length": "15, or 8",
}


def _in_words(value: object) -> str:
    if value is None:
        return "none"
    if not isinstance(value, timedelta):
        return f"`{value}`"
    for unit, seconds in (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1)):
        count, rest = divmod(value.total_seconds(), seconds)
        if not rest:
            return f"{count:.0f} {unit}{'' if count == 1 else 's'}"
    return str(value)


def test_every_setting_is_in_the_table_with_its_default_and_meaning() -> None:
    """And every row of the table is a setting, in the code's order."""
    table = rows((DOCS / "reference" / "settings.md").read_text())

    assert table == [
        [f"`{name}`", IN_WORDS.get(name) or _in_words(field.default), field.description or ""]
        for name, field in AuthSettings.model_fields.items()
    ]


def _errors(root: type[AuthError]) -> Iterator[type[AuthError]]:
    yield root
    for error in root.__subclasses__():
        yield from _errors(error)


def test_every_code_is_in_the_table_with_its_status() -> None:
    """And every row of the table is a code that some error has."""
    for module in pkgutil.walk_packages(piccolo_fastapi_auth.__path__, "piccolo_fastapi_auth."):
        if "piccolo_" not in module.name.removeprefix("piccolo_fastapi_auth"):
            importlib.import_module(module.name)
    ours = [one for one in _errors(AuthError) if one.__module__.startswith("piccolo_fastapi_auth")]
    real = {one.code: one.status for one in ours if "code" in vars(one)}
    text = (DOCS / "reference" / "errors.md").read_text()
    table = {row[0].strip("`"): int(row[1]) for row in rows(text)}

    assert table == real


@pytest.fixture
def operations() -> set[str]:
    """Method and path of every route, as the tables write them."""
    app = FastAPI()
    app.include_router(Auth(AuthSettings(secret_keys=[SECRET])).router)
    paths = app.openapi()["paths"]
    return {f"{method.upper()} {path}" for path, item in paths.items() for method in item}


def test_every_endpoint_is_in_the_tables(operations: set[str]) -> None:
    """In README's and in the reference's; and every row is a route."""
    short = rows(section(README, "Endpoints"))
    page = (DOCS / "reference" / "http.md").read_text().partition("## Shapes")[0]

    assert {row[0].strip("`") for row in short} == operations
    assert {row[0].strip("`") for row in rows(page)} == operations


def test_every_public_name_has_its_entry() -> None:
    """What ``__all__`` names is in the reference, and the other way round."""
    page = (DOCS / "reference" / "api.md").read_text()
    entries = re.findall(r"^::: piccolo_fastapi_auth\.([A-Z]\w+)$", page, re.MULTILINE)

    assert sorted(entries) == sorted(piccolo_fastapi_auth.__all__)


@pytest.mark.parametrize("way", ["The way of a log-in", "The way of a protected request"])
def test_the_traces_name_files_that_exist(way: str) -> None:
    """Step by step, none left out."""
    steps = rows(section(DOCS / "explanation" / "architecture.md", way))

    assert [int(step[0]) for step in steps] == list(range(1, len(steps) + 1))
    assert [step[1] for step in steps if not (PACKAGE / step[1].strip("`")).is_file()] == []


def test_the_layers_name_every_module() -> None:
    """A new folder or file at the top of the package finds its place in the architecture."""
    table = rows(section(DOCS / "explanation" / "architecture.md", "Layers"))
    named = re.findall(r"`([\w./]+)`", " ".join(row[1] for row in table))
    real = {_name(path) for path in PACKAGE.iterdir() if not path.name.startswith("__")}

    assert set(named) == real - {"py.typed"}
    assert len(named) == len(set(named))


def _name(path: Path) -> str:
    return f"{path.name}/" if path.is_dir() else path.name


def test_the_newest_version_of_the_changelog_is_the_packages() -> None:
    """And what touches security comes first."""
    project = (ROOT / "pyproject.toml").read_text()
    version = re.search(r'^version = "(.+)"$', project, re.MULTILINE)
    headings = re.findall(r"^##+ (\S+)", (DOCS / "changelog.md").read_text(), re.MULTILINE)

    assert version is not None
    assert headings[:2] == [version[1], "Security"]
