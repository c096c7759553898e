"""The document of the example application: valid, with names that stay, and true: what is answered is documented."""

import contextlib
import itertools
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, cast

import httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis.checks import CHECKS, load_all_checks

from tests.example_app.test_story import PASSWORD, browser_at, make_admin, sign_up
from tests.generated import cases_of, operations_of, request_of
from tests.processes import uvicorn_server

RECORDED: Final = Path(__file__).with_name("operations.json")
LOG_OUT: Final = "/auth/logout"
FEW: Final = 3
OFF: Final = {
    "PICCOLO_AUTH_LOGIN_LIMIT_PER_IP": "",
    "PICCOLO_AUTH_LOGIN_LIMIT_PER_ACCOUNT": "",
    "PICCOLO_AUTH_MAIL_LIMIT_PER_ADDRESS": "",
}
HELD: Final = [
    "not_a_server_error", "status_code_conformance", "content_type_conformance",
    "response_headers_conformance", "response_schema_conformance",
]  # fmt: skip


@pytest.fixture
def url(database_url: str, tmp_path: Any) -> Iterator[str]:
    """The example, running, with its limits out of the way."""
    secrets = str(tmp_path / "secrets.env")
    env = {**OFF, "DATABASE_URL": database_url, "READING_LIST_SECRETS": secrets}
    with uvicorn_server("example_app.main:app", env=env) as address:
        yield address


@pytest.mark.parametrize("engine_kind", ["sqlite"], indirect=True)  # the document knows no database
def test_the_document_is_valid_and_its_names_stay(url: str) -> None:
    """Clean for openapi-spec-validator; the operations are those of the recorded list, so that a change is seen.

    Generated clients name their methods after them: to rename one is to break those who call it.
    """
    with browser_at(url) as client:
        document = client.get("/openapi.json").json()

    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []
    found = {
        operation["operationId"]: f"{method.upper()} {path}"
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }
    if "RECORD_OPERATIONS" in os.environ:
        RECORDED.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n")
    assert found == json.loads(RECORDED.read_text())
    assert len(found) == sum(len(item) for item in document["paths"].values())
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", name) for name in found)


def signed_in(url: str, name: str, stack: contextlib.ExitStack) -> httpx.Client:
    """A browser of a person."""
    client = stack.enter_context(browser_at(url))
    body = {"username": name, "password": PASSWORD}
    assert client.post("/auth/login", json=body).status_code == 200
    return client


def test_every_answer_is_documented(url: str, database_url: str) -> None:
    """What the document allows and what it forbids, sent by a reader and by a superuser: no error of ours, nothing unsaid."""
    load_all_checks()
    held, problems = cast("Any", CHECKS.get_by_names(HELD)), dict[str, str]()
    with browser_at(url) as stranger:
        document = stranger.get("/openapi.json").json()
        sign_up(stranger, "ada")
        sign_up(stranger, "noor")
    make_admin(database_url, "ada", "superuser")
    with contextlib.ExitStack() as stack:
        people = [signed_in(url, name, stack) for name in ("noor", "ada")]
        # Last what ends their sessions.
        for operation in sorted(operations_of(document), key=lambda one: one.path == LOG_OUT):
            cases = cases_of(operation, FEW)
            if operation.body:
                cases += cases_of(operation, FEW, allowed=False)
            for client, case in itertools.product(people, cases):
                answer = client.request(**request_of(case))
                try:
                    case.validate_response(answer, checks=held)
                except BaseExceptionGroup as error:
                    said = f"{operation.label} {answer.status_code}"
                    problems |= {
                        f"{said} {type(one).__name__}": str(one) for one in error.exceptions
                    }
            if operation.path == LOG_OUT:
                continue
            assert [one.get("/auth/session").status_code for one in people] == [200, 200], operation
    assert not problems, "\n\n".join(f"{one}\n{text}" for one, text in problems.items())
