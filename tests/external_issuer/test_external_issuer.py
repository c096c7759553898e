"""What an external issuer's token must be, and how its keys are fetched."""

import asyncio
import base64
import hashlib
import hmac
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from typing import Any, Final

import pytest
from httpx import ASGITransport, AsyncClient
from piccolo.engine.base import Engine

from piccolo_fastapi_auth import AuthSettings, ExternalIssuer, User, issuer_keys
from piccolo_fastapi_auth.testing import FrozenClock
from tests.external_issuer.helpers import (
    AUDIENCE,
    DISCOVERY,
    JWKS,
    Key,
    Site,
    app_with,
    serving,
    user_of,
)
from tests.fixtures import ORIGIN, PASSWORD, Person, bearer, code_of, get_tokens

ACCOUNT: Final = {"username": "alice", "email": "alice@example.com", "password": PASSWORD}
pytestmark = pytest.mark.parametrize(
    "engine_kind", ["sqlite"], indirect=True
)  # no statement of its own; tests/external_issuer/test_providers.py runs on both


@pytest.fixture
def site() -> Iterator[Site]:
    """A server on this machine."""
    with serving() as site:
        yield site


@pytest.fixture
def key(site: Site) -> Key:
    """The issuer's key, published."""
    key = Key()
    site.publish(key)
    return key


@pytest.fixture
async def client(
    database: Engine[Any], site: Site, key: Key, settings: AuthSettings, clock: FrozenClock
) -> AsyncIterator[AsyncClient]:
    """A browser, and ``alice`` in the database."""
    del database, key
    issuer = ExternalIssuer(issuer=site.url, audience=AUDIENCE, user_of=user_of, clock=clock)
    app = app_with(issuer, settings, clock)
    async with AsyncClient(transport=ASGITransport(app), base_url=ORIGIN) as client:
        assert (await client.post("/auth/register", json=ACCOUNT)).status_code == 201
        yield client


async def see(client: AsyncClient, token: str, path: str = "/user") -> tuple[int, str]:
    """The answer to a token."""
    answer = await client.get(path, headers=bearer({"access_token": token}))
    return answer.status_code, "" if answer.is_success else code_of(answer)


REFUSED: Final = (401, "invalid_token")


async def test_what_is_accepted(
    client: AsyncClient, site: Site, key: Key, clock: FrozenClock
) -> None:
    """One audience or several, with and without a type; scopes are the person's within the token's."""
    good = site.claims(clock())
    for token in (
        key.sign(good),
        key.sign({**good, "aud": ["x", AUDIENCE]}),
        key.sign(good, typ="at+jwt"),
        key.sign({**good, "nbf": good["iat"]}),
    ):
        for path in ("/user", "/optional", "/principal", "/posts"):
            assert await see(client, token, path) == (200, ""), path
    narrow = key.sign({**good, "scope": "openid posts:read"})
    assert await see(client, narrow, "/posts") == (200, "")
    none = key.sign({**good, "scope": "openid"})
    assert await see(client, none, "/posts") == (403, "insufficient_scope")
    for path in ("/whose-session", "/fresh", "/auth/me", "/auth/api-keys"):
        assert await see(client, key.sign(good), path) == (403, "credential_not_accepted"), path


async def test_what_is_refused(
    client: AsyncClient, site: Site, key: Key, clock: FrozenClock
) -> None:
    """JWT-2, KEY-2: every claim, the header and the signature are judged; nobody unknown or inactive gets in."""
    good, now = site.claims(clock()), int(clock().timestamp())
    stranger = Key()
    bad: list[dict[str, object]] = [
        {"aud": None}, {"sub": None}, {"exp": None},
        {"aud": "x"}, {"aud": ["x"]}, {"aud": []}, {"aud": {AUDIENCE: 1}}, {"iss": f"{site.url}/"},
        {"sub": ""}, {"sub": 1}, {"sub": "nobody"}, {"exp": str(now + 60)}, {"exp": True}, {"exp": 1e300},
        {"exp": now + 0.5}, {"nbf": now + 31}, {"iat": now + 31}, {"nbf": "x"},
    ]  # fmt: skip
    for changes in bad:
        assert await see(client, key.sign(site.claims(clock(), **changes))) == REFUSED, changes
    assert await see(client, key.sign({**good, "exp": now})) == (401, "token_expired")
    assert await see(client, key.sign({**good, "exp": now}, kid=stranger.kid)) == REFUSED
    for token in (
        key.sign(good, crit=["exp"]),
        key.sign(good, typ="dpop+jwt"),
        key.sign(good, typ=1),
        key.sign(good, kid=1),
        stranger.sign(good),
        stranger.sign(good, kid=key.kid),
        Key("RS256").sign(good, kid=key.kid),
        _unsigned(good),
        _hmac_by(json.dumps(key.jwk).encode(), good, key.kid),
        _hmac_by(key.pem.encode(), good, key.kid),
        key.sign(good)[:-1],
        f"{key.sign(good)}.x",
        key.sign({**good, "x": "y" * 9000})[:8192],
    ):
        assert await see(client, token) == REFUSED, token
    await User.update({User.active: False}).where(User.username == "alice")
    assert await see(client, key.sign(good)) == REFUSED


def _part(members: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(members).encode()).rstrip(b"=").decode()


def _unsigned(claims: dict[str, Any]) -> str:
    return f"{_part({'alg': 'none'})}.{_part(claims)}."


def _hmac_by(secret: bytes, claims: dict[str, Any], kid: str) -> str:
    """RFC 8725 section 2.1: a public key taken for a secret."""
    signed = f"{_part({'alg': 'HS256', 'kid': kid})}.{_part(claims)}"
    proof = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(proof).rstrip(b'=').decode()}"


async def test_our_own_tokens_go_on_beside_it(client: AsyncClient, site: Site) -> None:
    """And ask nobody for keys."""
    tokens = await get_tokens(client, Person(1, "alice", "alice@example.com"))
    assert await see(client, tokens["access_token"]) == (200, "")
    assert await see(client, tokens["access_token"], "/principal") == (200, "")
    assert site.asked == []


async def test_keys_are_fetched_by_one_and_kept(
    client: AsyncClient, site: Site, key: Key, clock: FrozenClock
) -> None:
    """KEY-2: fifty requests at once ask once; an unknown ``kid`` asks again at most once a minute."""
    token = key.sign(site.claims(clock()))
    assert set(await asyncio.gather(*(see(client, token) for _ in range(50)))) == {(200, "")}
    assert site.asked == [DISCOVERY, JWKS]

    stranger = Key().sign(site.claims(clock()))
    for minute in range(1, 3):
        clock.move(timedelta(minutes=1))
        answers = await asyncio.gather(*(see(client, stranger) for _ in range(20)))
        assert set(answers) == {REFUSED}
        assert site.asked == [DISCOVERY, JWKS, *[JWKS] * minute]
    clock.move(timedelta(seconds=59))
    assert await see(client, stranger) == REFUSED
    assert len(site.asked) == 4


async def test_a_new_key_is_found_and_a_dropped_one_ends(
    client: AsyncClient, site: Site, key: Key, clock: FrozenClock
) -> None:
    """KEY-1, KEY-2: new tokens at once (a minute after the last look), dropped keys after five minutes at most."""
    new, start = Key("RS256"), clock()
    lasting = timedelta(hours=1)
    exp = int((start + lasting).timestamp())
    old_token = key.sign(site.claims(start, exp=exp))
    assert await see(client, old_token) == (200, "")
    clock.move(timedelta(minutes=1))
    site.publish(new, key)
    assert await see(client, new.sign(site.claims(start, exp=exp))) == (200, "")
    assert await see(client, old_token) == (200, "")

    site.publish(new)
    clock.move(timedelta(minutes=4, seconds=59))
    assert await see(client, old_token) == (200, "")
    clock.move(timedelta(seconds=1))
    assert await see(client, old_token) == REFUSED
    assert await see(client, new.sign(site.claims(start, exp=exp))) == (200, "")


def _redirect(site: Site) -> None:
    site.page("/there", site.pages[JWKS][2])
    site.page(JWKS, b"", 302, Location="/there")


HOSTILE: Final[dict[str, Callable[[Site], object]]] = {
    "error": lambda site: site.page(JWKS, {}, 500),
    "redirect": _redirect,
    "large": lambda site: site.page(JWKS, b'{"keys": [' + b" " * 300_000 + b"]}"),
    "nested": lambda site: site.page(JWKS, b"[" * 100_000),
    "no-json": lambda site: site.page(JWKS, b"\xff"),
    "no-set": lambda site: site.page(JWKS, {"keys": {}}),
    "many": lambda site: site.page(JWKS, {"keys": [{}] * 101}),
    "other-issuer": lambda site: site.page(DISCOVERY, {"issuer": "https://x.test", "jwks_uri": site.url + JWKS}),
    "plain-http": lambda site: site.page(DISCOVERY, {"issuer": site.url, "jwks_uri": "http://x.test/keys"}),
    "no-url": lambda site: site.page(DISCOVERY, {"issuer": site.url, "jwks_uri": "http://[::1"}),
    "silent": lambda site: setattr(site, "silent", threading.Event()),
}  # fmt: skip


@pytest.mark.parametrize("way", HOSTILE)
async def test_keys_that_cannot_be_had_let_nobody_in(
    *,
    client: AsyncClient,
    site: Site,
    key: Key,
    clock: FrozenClock,
    way: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """KEY-2: 503 with bounds on time and size and without a redirect; not asked again for ten seconds; others go on."""
    if way == "silent":
        monkeypatch.setattr(issuer_keys, "SECONDS", 0.5)
    good = dict(site.pages)
    HOSTILE[way](site)
    token = key.sign(site.claims(clock()))

    answers = await asyncio.gather(*(see(client, token) for _ in range(5)))

    assert set(answers) == {(503, "temporarily_unavailable")}
    assert len(site.asked) <= 2
    assert "/there" not in site.asked
    tokens = await get_tokens(client, Person(1, "alice", "alice@example.com"))
    assert await see(client, tokens["access_token"]) == (200, "")
    if site.silent is not None:
        site.silent.set()
        site.silent = None
        monkeypatch.undo()
    site.pages = good
    clock.move(timedelta(seconds=10))
    assert await see(client, token) == (200, "")


async def test_useless_keys_are_passed_over(
    client: AsyncClient, site: Site, key: Key, clock: FrozenClock
) -> None:
    """RFC 7517 section 5: symmetric, short, of another curve or use, or half a key; the good one beside them works."""
    rsa = Key("RS256").jwk
    useless = [
        1, {}, {"kty": "oct", "k": "AAAA", "kid": "a"}, {**rsa, "n": rsa["n"][:100]}, {**rsa, "e": "AQAAAAAB"},
        {**rsa, "n": 5}, {**rsa, "use": "enc"}, {**rsa, "alg": "HS256"}, {**key.jwk, "crv": "P-384", "kid": "c"},
        {**key.jwk, "x": key.jwk["y"], "kid": "d"}, {"kty": "RSA", "kid": "e"}, {**rsa, "n": "A" * 20_000},
    ]  # fmt: skip
    site.page(JWKS, {"keys": [*useless, key.jwk]})
    assert await see(client, key.sign(site.claims(clock()))) == (200, "")
    for kid in ("a", "c", "d", "e", rsa["kid"]):
        assert await see(client, key.sign(site.claims(clock()), kid=kid)) == REFUSED


@pytest.mark.parametrize(
    "url", ["http://login.test", "ftp://localhost", "https://", "https://u:p@login.test", "login.test", "http://localhost.test"]
)  # fmt: skip
def test_only_https_is_spoken(url: str, engine_kind: str) -> None:
    """KEY-2: a mistake stops the start, for the issuer and for its keys; HMAC cannot even be asked for."""
    del engine_kind

    def make(**changes: Any) -> ExternalIssuer[User]:
        given = {"issuer": "https://login.test", "audience": "x", "user_of": user_of, **changes}
        return ExternalIssuer(**given)

    make()
    wrong: list[dict[str, Any]] = [
        {"issuer": url}, {"jwks_url": url}, {"algorithms": ["HS256"]}, {"algorithms": []},
    ]  # fmt: skip
    for changes in wrong:
        with pytest.raises(ValueError, match=r"https|RS256"):
            make(**changes)
