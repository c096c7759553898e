"""The session cookie: what it looks like, when it comes and goes, and that nothing of it is cached."""

import re
from datetime import timedelta
from typing import Any, Final

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient, Response

from piccolo_fastapi_auth.sessions.tables import AuthSession
from piccolo_fastapi_auth.testing import FrozenClock
from tests.fixtures import (
    ORIGIN,
    PASSWORD,
    Browsers,
    Person,
    bearer,
    code_of,
    get_tokens,
    log_in,
    refresh,
)

COOKIE: Final = "__Host-session"
SECURE: Final = {"path": "/", "samesite": "lax", "httponly": "", "secure": ""}
LIFETIME: Final = timedelta(days=30)
LONGEST: Final = timedelta(days=400)  # RFC 6265bis section 5.5
PROOF: Final = {"password": PASSWORD}
BAD_CREDENTIALS: Final[list[dict[str, str]]] = [
    {},
    {"authorization": "Bearer x"},
    {"cookie": f"{COOKIE}={'A' * 43}"},
    {"cookie": f"{COOKIE}={'A' * 43}", "sec-fetch-site": "cross-site"},
]


def set_cookie(answer: Response) -> tuple[str, str, dict[str, str]]:
    """The one ``Set-Cookie`` of an answer: name, value, and attributes by their names in lower case."""
    (line,) = answer.headers.get_list("set-cookie")
    pair, *attributes = line.split("; ")
    name, _, value = pair.partition("=")
    parts = [attribute.partition("=") for attribute in attributes]
    return name, value.strip('"'), {key.lower(): text for key, _, text in parts}


def with_cookie(app: FastAPI, value: str) -> AsyncClient:
    """A browser that holds a session cookie, as if our host had set it."""
    browser = AsyncClient(transport=ASGITransport(app), base_url=ORIGIN)
    browser.cookies.set(COOKIE, value, domain="app.test")
    return browser


async def test_a_cookie_is_bound_to_the_host_and_out_of_reach_of_scripts(
    client: AsyncClient, alice: Person, clock: FrozenClock
) -> None:
    """CKE-1, CKE-2, CCH-1: at log-in and when it is renewed; its value is opaque and nowhere in a body."""
    first = await log_in(client, alice)
    clock.move(timedelta(minutes=5))

    second = await client.post("/auth/reauthenticate", json=PROOF)

    for answer in (first, second):
        name, value, attributes = set_cookie(answer)
        age = timedelta(seconds=int(attributes.pop("max-age")))
        assert (name, attributes) == (COOKIE, SECURE)
        assert re.fullmatch(r"[A-Za-z0-9_-]{43}", value)
        assert age == LIFETIME
        assert answer.headers["cache-control"] == "no-store"
        shown = [await client.get(path) for path in ("/auth/session", "/auth/sessions", "/auth/me")]
        assert not any(value in one.text for one in (answer, *shown))
    assert set_cookie(first)[1] != set_cookie(second)[1]


@pytest.mark.parametrize(
    "settings_changes", [{"session_lifetime": timedelta(days=1000)}], ids=["long"]
)
async def test_a_cookie_lives_no_longer_than_a_cookie_may(
    client: AsyncClient, alice: Person
) -> None:
    """CKE-1: 400 days at most."""
    _, _, attributes = set_cookie(await log_in(client, alice))

    assert timedelta(seconds=int(attributes["max-age"])) <= LONGEST


@pytest.mark.parametrize(
    "settings_changes", [{"secure_cookies": False, "cookie_name": "sid"}], ids=["development"]
)
async def test_only_development_has_an_insecure_cookie(
    app: FastAPI, client: AsyncClient, alice: Person
) -> None:
    """CKE-1: the plain name without Secure, and all the rest; the host-bound name then means nothing."""
    insecure = AsyncClient(transport=ASGITransport(app), base_url="http://localhost")

    name, value, attributes = set_cookie(await log_in(insecure, alice))

    del attributes["max-age"]
    assert (name, attributes) == ("sid", {k: v for k, v in SECURE.items() if k != "secure"})
    assert (await insecure.get("/user")).status_code == 200
    answer = await client.get("/user", headers={"cookie": f"__Host-sid={value}"})
    assert code_of(answer) == "not_authenticated"


@pytest.mark.parametrize("settings_changes", [{"cookie_name": "who"}], ids=["named"])
async def test_a_cookie_answers_to_its_full_name_only(client: AsyncClient, alice: Person) -> None:
    """CKE-1: the plain name, which a sibling subdomain could plant, is not read."""
    name, value, _ = set_cookie(await log_in(client, alice))
    assert name == "__Host-who"
    client.cookies.clear()

    for other in ("who", "__Secure-who", "__host-who", "__Host-session", "session"):
        answer = await client.get("/user", headers={"cookie": f"{other}={value}"})
        assert code_of(answer) == "not_authenticated", other


async def test_log_out_ends_the_session_and_takes_the_cookie_back(
    app: FastAPI, client: AsyncClient, alice: Person
) -> None:
    """SES-6: on the server too; once more is the same, also without any credential."""
    _, value, _ = set_cookie(await log_in(client, alice))

    answers = [await with_cookie(app, value).post("/auth/logout") for _ in range(2)]

    for answer in answers:
        name, empty, attributes = set_cookie(answer)
        assert attributes.pop("max-age") == "0"
        attributes.pop("expires")
        assert (name, empty, attributes) == (COOKIE, "", SECURE)  # else a browser keeps the old one
        assert (answer.status_code, answer.headers["cache-control"]) == (204, "no-store")
    assert code_of(await with_cookie(app, value).get("/user")) == "session_expired"
    client.cookies.clear()
    nobody = await client.post("/auth/logout")
    assert (nobody.status_code, nobody.headers.get("set-cookie")) == (204, None)


async def test_whatever_ends_ones_own_session_takes_the_cookie_back(
    client: AsyncClient, new_browser: Browsers, alice: Person
) -> None:
    """Ending this session or the account does; ending another session does not."""
    own = (await log_in(client, alice)).json()["session"]["id"]
    other = (await log_in(new_browser(), alice)).json()["session"]["id"]

    kept = await client.delete(f"/auth/sessions/{other}")
    ended = await client.delete(f"/auth/sessions/{own}")
    await log_in(client, alice)
    deleted = await client.request("DELETE", "/auth/me", json=PROOF)

    assert (kept.status_code, kept.headers.get("set-cookie")) == (204, None)
    for answer in (ended, deleted):
        name, value, attributes = set_cookie(answer)
        assert (answer.status_code, name, value, attributes["max-age"]) == (204, COOKIE, "", "0")


@pytest.mark.parametrize("path", ["/auth/login", "/auth/token"])
async def test_a_log_in_ends_the_session_that_the_browser_had(
    app: FastAPI, client: AsyncClient, alice: Person, path: str
) -> None:
    """SES-3: no fixation; a failed log-in changes nothing, a token log-in takes the cookie back."""
    _, old, _ = set_cookie(await log_in(client, alice))
    browser = with_cookie(app, old)
    kind = "data" if path == "/auth/token" else "json"
    body = {"username": "alice", "password": "a wrong password"}
    if path == "/auth/token":
        body["grant_type"] = "password"
    wrong: dict[str, Any] = {kind: body}
    right: dict[str, Any] = {kind: {**body, "password": PASSWORD}}
    failed = await browser.post(path, **wrong)
    assert failed.status_code in {400, 401}
    assert "set-cookie" not in failed.headers
    assert (await browser.get("/user")).status_code == 200

    answer = await browser.post(path, **right)

    assert answer.status_code == 200
    assert code_of(await with_cookie(app, old).get("/user")) == "session_expired"
    assert await AuthSession.count() == 1
    _, new, attributes = set_cookie(answer)
    assert new != old
    if path == "/auth/token":
        assert (new, attributes["max-age"]) == ("", "0")
        by_token = await browser.get("/user", headers=bearer(answer.json()))
        assert by_token.json() == {"username": "alice"}


async def test_a_token_log_in_takes_a_malformed_cookie_back_too(
    app: FastAPI, alice: Person
) -> None:
    """Left in place it would stand beside the token, and every request would be refused with 400."""
    browser = with_cookie(app, "left-by-something-else")

    tokens = await get_tokens(browser, alice)

    assert (await browser.get("/user", headers=bearer(tokens))).json() == {"username": "alice"}


async def test_what_holds_a_credential_is_not_cached(client: AsyncClient, alice: Person) -> None:
    """CCH-1: tokens, renewed tokens, enrolments, and what names the person."""
    form = {"grant_type": "password", "username": alice.username, "password": PASSWORD}
    token = await client.post("/auth/token", data=form)
    renewed = await refresh(client, token.json()["refresh_token"])
    form = {"grant_type": "refresh_token", "refresh_token": renewed.json()["refresh_token"]}
    again = await client.post("/auth/token", data=form)
    headers = bearer(again.json())

    answers = [
        token, renewed, again,
        await client.post("/auth/reauthenticate", json=PROOF, headers=headers),
        await client.post("/auth/mfa/totp", headers=headers),
        await client.get("/auth/session", headers=headers),
        await client.get("/auth/me", headers=headers),
    ]  # fmt: skip

    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 201, 200, 200]
    assert {answer.headers.get("cache-control") for answer in answers} == {"no-store"}


async def test_no_refusal_is_cached(app: FastAPI, client: AsyncClient) -> None:
    """CCH-1: every 401 and 403 of every route, the application's own included; ERR-1: each 401 with a challenge."""
    for headers in BAD_CREDENTIALS:
        refused = 0
        for path, item in app.openapi()["paths"].items():
            url = re.sub(r"{\w+}", "00000000-0000-4000-8000-000000000000", path)
            for method in item:
                answer = await client.request(method, url, headers=headers)
                refused += answer.status_code in {401, 403}
                if answer.status_code in {401, 403}:
                    assert answer.headers.get("cache-control") == "no-store", (method, path)
                if answer.status_code == 401:
                    assert answer.headers["www-authenticate"].startswith("Bearer "), (method, path)
        assert refused > 20


async def test_what_depends_on_the_credential_says_so(
    client: AsyncClient, new_browser: Browsers, alice: Person
) -> None:
    """CCH-1: ``Vary`` on every guarded route, the application's own included, with a credential, a bad one or none."""
    await log_in(client, alice)
    token = bearer(await get_tokens(new_browser(), alice))
    nobody = new_browser()
    paths = (
        "/user",
        "/optional",
        "/principal",
        "/whose-session",
        "/posts",
        "/fresh",
        "/verified",
        "/auth/session",
    )

    for path in paths:
        for answer in (
            await client.get(path),
            await nobody.get(path, headers=token),
            await nobody.get(path, headers={"authorization": "Bearer x"}),
            await nobody.get(path),
        ):
            assert answer.headers.get_list("vary") == ["Authorization, Cookie, Origin"], path
    for answer in (await client.get("/public"), await nobody.get("/.well-known/jwks.json")):
        assert "vary" not in answer.headers


async def test_refusals_of_a_good_credential_are_not_cached(
    client: AsyncClient, alice: Person, clock: FrozenClock
) -> None:
    """CCH-1: too few scopes, too old, not verified, no second factor."""
    await log_in(client, alice)
    clock.move(timedelta(minutes=11))

    answers = [await client.get(path) for path in ("/verified", "/mfa", "/fresh")]
    answers.append(await client.post("/posts"))

    assert [answer.status_code for answer in answers] == [403, 403, 401, 403]
    assert {answer.headers.get("cache-control") for answer in answers} == {"no-store"}


async def test_a_credential_in_the_query_is_no_credential(
    client: AsyncClient, new_browser: Browsers, alice: Person
) -> None:
    """TRN-2: not the access token, not the cookie's value, not the refresh token."""
    _, value, _ = set_cookie(await log_in(new_browser(), alice))
    tokens = await get_tokens(new_browser(), alice)
    names = ("access_token", "token", "bearer_token", "authorization", "session", COOKIE)
    secrets: list[str] = [tokens["access_token"], f"Bearer {tokens['access_token']}", value]

    for name in names:
        for secret in secrets:
            query: dict[str, Any] = {"params": {name: secret}}
            for path in ("/user", "/principal", "/auth/session"):
                assert code_of(await client.get(path, **query)) == "not_authenticated"
            assert (await client.get("/optional", **query)).json() is None
    query = {"params": {"refresh_token": tokens["refresh_token"], "grant_type": "refresh_token"}}
    assert (await client.post("/auth/refresh", **query)).status_code == 422
    assert (await client.post("/auth/token", **query)).status_code == 400
    assert (await refresh(client, tokens["refresh_token"])).status_code == 200
