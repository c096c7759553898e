"""Hostile bodies: refused with 4xx in our shape, never with 500, and what was sent never comes back."""

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest
from fastapi import FastAPI
from httpx import AsyncClient, Response
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from piccolo_fastapi_auth.sessions.tables import AuthSession
from tests.fixtures import Person, log_in

MARK: Final = "correct-horse-MARK-staple"
JSON: Final = {"content-type": "application/json"}
FORM: Final = {"content-type": "application/x-www-form-urlencoded"}
ID: Final = "00000000-0000-4000-8000-000000000000"
FIELDS: Final = (
    "username", "email", "password", "current_password", "new_password", "refresh_token", "mfa_token",
    "method", "code", "id", "name", "first_name",
)  # fmt: skip
UNPARSABLE: Final = {
    "utf8": b'{"password": "\xff' + MARK.encode() + b'"}',
    "bytes": b"\xff\xfe" + MARK.encode(),
    "deep": b'{"password":' + b"[" * 60_000,
    "long-int": b'{"password":' + b"9" * 5000 + b"}",
}
UNUSABLE: Final = {
    "truncated": b'{"password": "' + MARK.encode(),
    "nan": b'{"password": NaN, "username": Infinity, "refresh_token": -Infinity}',
    "huge-int": b'{"password": ' + b"9" * 4000 + b', "username": 1e999}',
    "array": b'["' + MARK.encode() + b'"]',
    "text": b'"' + MARK.encode() + b'"',
    "null": b"null",
    "empty": b"",
    "blank": b"  ",
    "surrogate-key": b'{"\\ud800' + MARK.encode() + b'": 1}',
    "duplicates": b'{"password": 1, "password": ["' + MARK.encode() + b'"]}',
}
VALUES: Final[tuple[Any, ...]] = (
    "", MARK + "\x00", MARK + "\ud800", [MARK], {"password": MARK}, None, 10**30, -1, 1.5, True, [], {}, MARK * 600,
)  # fmt: skip


def operations(app: FastAPI, kind: str) -> list[tuple[str, str]]:
    """Every operation of ours that takes a body of a kind."""
    found = [
        (method, path.format(method_id=ID, key_id=ID))
        for path, item in app.openapi()["paths"].items()
        for method, operation in item.items()
        if kind in operation.get("requestBody", {}).get("content", {})
    ]
    assert found
    return found


def has_our_shape(answer: Response) -> bool:
    """Whether a refusal is ours: a code and a message, a list of what is wrong, or RFC 6749's words."""
    if answer.headers.get("content-type") != "application/json":
        return False
    body = answer.json()
    if "error" in body:
        return set(body) >= {"error", "error_description"}
    detail = body.get("detail")
    if isinstance(detail, list):
        return all(set(one) == {"type", "loc", "msg"} for one in detail)
    return isinstance(detail, dict) and {"code", "message"} <= set(detail)


def assert_refused(answer: Response, what: object) -> None:
    """A refusal in our shape that holds nothing of what was sent."""
    assert 400 <= answer.status_code < 500, (what, answer.text)
    assert MARK not in answer.text, (what, answer.text)
    assert has_our_shape(answer), (what, answer.status_code, answer.text)


def bodies() -> Iterator[dict[str, Any]]:
    """Each field with each hostile value, beside good and absent others."""
    for field in FIELDS:
        for value in VALUES:
            yield {field: value}
            yield {**dict.fromkeys(FIELDS, MARK), field: value}


async def test_no_json_body_is_echoed_or_crashes(
    app: FastAPI, client: AsyncClient, alice: Person
) -> None:
    """ERR-2, AUD-3: on every route that takes JSON, for somebody who is logged in."""
    await log_in(client, alice)
    routes = operations(app, "application/json")
    optional = [
        route for route in routes if route[1] == "/auth/mfa/totp"
    ]  # without a body it enrols

    for method, path in routes:
        for what, content in UNUSABLE.items():
            if (method, path) in optional and what in {"null", "empty"}:
                continue
            answer = await client.request(method, path, content=content, headers=JSON)
            assert_refused(answer, (method, path, what))
    hostile = list(bodies())
    for index, body in enumerate(hostile):
        method, path = routes[index % len(routes)]
        answer = await client.request(method, path, content=json.dumps(body), headers=JSON)
        if answer.status_code >= 400:
            assert_refused(answer, (method, path, body))
        else:
            assert path in {"/auth/me", "/auth/mfa/totp"}, (method, path, body)
    assert await AuthSession.count() == 1


GOOD: Final[tuple[tuple[str, str, dict[str, str]], ...]] = (
    ("POST", "/auth/login", {"username": "alice", "password": "x" * 15}),
    ("POST", "/auth/register", {"username": "bob", "email": "bob@example.com", "password": "x" * 15}),
    ("POST", "/auth/refresh", {"refresh_token": "x"}),
    ("POST", "/auth/mfa/verify", {"mfa_token": "x", "method": "totp", "code": "000000"}),
    ("POST", "/auth/reauthenticate", {"method": "totp", "code": "000000"}),
    ("PATCH", "/auth/me", {"first_name": "Alice", "last_name": "Liddell"}),
    ("PATCH", f"/auth/mfa/{ID}", {"name": "Phone"}),
    ("POST", "/auth/password/change", {"current_password": "x", "new_password": "y"}),
)  # fmt: skip


async def test_text_that_a_database_cannot_store_never_gets_there(
    client: AsyncClient, alice: Person
) -> None:
    """ERR-2: NUL and lone surrogates in each text of an otherwise good body; in a password NUL is a character."""
    await log_in(client, alice)

    for method, path, good in GOOD:
        for field in good:
            for hostile in ("a\x00b", "\x00", "a\ud800", "\udfff@example.com"):
                content = json.dumps({**good, field: hostile})
                answer = await client.request(method, path, content=content, headers=JSON)
                assert_refused(answer, (path, field, hostile))
                if "\x00" not in hostile or not field.endswith("password"):
                    assert answer.status_code == 422, (path, field, hostile)


@pytest.mark.parametrize("content", UNPARSABLE.values(), ids=UNPARSABLE)
@pytest.mark.parametrize("engine_kind", ["sqlite"], indirect=True)  # refused before any query
async def test_what_cannot_be_parsed_is_refused_in_our_shape(
    client: AsyncClient, content: bytes
) -> None:
    """ERR-2: DESIGN.md 4: every error has a stable code."""
    assert_refused(await client.post("/auth/login", content=content, headers=JSON), content[:40])


LARGE: Final = {
    "json": ("/auth/login", JSON, b'{"username": "a", "password": "' + b"x" * 1_000_000 + b'"}'),
    "form": ("/auth/token/revoke", FORM, b"token=" + b"x" * 1_000_000),
    "token": ("/auth/token", FORM, b"grant_type=password&password=" + b"x" * 1_000_000),
}


@pytest.mark.parametrize("path_headers_content", LARGE.values(), ids=LARGE)
@pytest.mark.parametrize("engine_kind", ["sqlite"], indirect=True)  # refused before any query
async def test_a_large_body_is_refused_with_413_in_our_shape(
    client: AsyncClient, path_headers_content: tuple[str, dict[str, str], bytes]
) -> None:
    """ERR-2: one megabyte is not read to its end."""
    path, headers, content = path_headers_content

    answer = await client.post(path, content=content, headers=headers)

    assert answer.status_code == 413
    assert has_our_shape(answer), answer.text


FORMS: Final = {
    "empty": (FORM, b""),
    "garbage": (FORM, b"\xff\x00%zz&&==&" + MARK.encode()),
    "nul": (FORM, b"grant_type=password&username=a%00&password=" + MARK.encode()),
    "surrogate": (FORM, b"grant_type=password&username=%ed%a0%80&password=" + MARK.encode()),
    "unknown-grant": (FORM, b"grant_type=" + MARK.encode()),
    "long-grant": (FORM, b"grant_type=" + MARK.encode() * 9),
    "no-password": (FORM, b"grant_type=password&username=" + MARK.encode()),
    "twice": (FORM, b"grant_type=password&grant_type=refresh_token&refresh_token=" + MARK.encode()),
    "json": (JSON, b'{"grant_type": "password", "password": "' + MARK.encode() + b'"}'),
    "no-type": ({}, b"grant_type=password"),
    "bad-refresh": (FORM, b"grant_type=refresh_token&refresh_token=" + MARK.encode()),
}
BROKEN_FORMS: Final = {
    "no-boundary": ({"content-type": "multipart/form-data"}, b"x"),
    "no-part": ({"content-type": "multipart/form-data; boundary=x"}, b"garbage"),
    "charset": (
        {"content-type": "multipart/form-data; boundary=x; charset=undefined"},
        b'--x\r\nContent-Disposition: form-data; name="grant_type"\r\n\r\na\r\n--x--\r\n',
    ),
    "fields": (FORM, b"&".join(b"a%d=1" % number for number in range(2000))),
}


@pytest.mark.parametrize("engine_kind", ["sqlite"], indirect=True)  # nothing gets as far as a query
async def test_no_form_is_echoed_or_crashes(client: AsyncClient) -> None:
    """ERR-2, AUD-3: at the token endpoint in RFC 6749's words, elsewhere in ours."""
    for what, (headers, content) in FORMS.items():
        answer = await client.post("/auth/token", content=content, headers=headers)
        assert_refused(answer, what)
        assert answer.status_code == 400
        answer = await client.post("/auth/token/revoke", content=content, headers=headers)
        assert_refused(answer, what)


@pytest.mark.parametrize("headers_content", BROKEN_FORMS.values(), ids=BROKEN_FORMS)
@pytest.mark.parametrize("path", ["/auth/token", "/auth/token/revoke"])
@pytest.mark.parametrize("engine_kind", ["sqlite"], indirect=True)  # refused before any query
async def test_a_form_that_cannot_be_parsed_is_refused_in_our_shape(
    client: AsyncClient, path: str, headers_content: tuple[dict[str, str], bytes]
) -> None:
    """ERR-2: RFC 6749 section 5.2 at the token endpoint, a code elsewhere."""
    headers, content = headers_content

    answer = await client.post(path, content=content, headers=headers)

    assert_refused(answer, content[:40])
    assert ("error" in answer.json()) == (path == "/auth/token")


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just(MARK),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(
    max_examples=60, deadline=None, database=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(
    body=st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=5), JSON_VALUES, max_size=4),
    path=st.sampled_from(["/auth/login", "/auth/register", "/auth/refresh", "/auth/mfa/verify"]),
)
@pytest.mark.parametrize(
    "engine_kind", ["sqlite"], indirect=True
)  # NUL is refused before any query
async def test_any_json_is_refused(client: AsyncClient, body: dict[str, Any], path: str) -> None:
    """ERR-2: whatever the types and the nesting."""
    content = json.dumps(body).encode()

    assert_refused(await client.post(path, content=content, headers=JSON), (path, body))
