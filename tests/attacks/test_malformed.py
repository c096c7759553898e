"""Hostile tokens, headers and bodies: refused with 4xx and a stable code, never with 500, never echoed."""

import json
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import pytest
from httpx import AsyncClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jose import jws, jwt

from piccolo_fastapi_auth.testing import FrozenClock
from tests.fixtures import (
    SECRET,
    Person,
    bearer,
    code_of,
    get_tokens,
    log_in,
    refresh,
)
from tests.primitives.jwt_forging import (
    ec_key,
    pem_of,
    public_der_of,
    public_pem_of,
    public_ssh_of,
    segment,
    signed,
)

COOKIE: Final = b"__Host-session="
HEADER: Final = {"alg": "HS256", "typ": "at+jwt"}
MISSING: Final = object()
NOT_TIMES: Final[tuple[object, ...]] = (
    MISSING,
    None,
    "1",
    1.5,
    True,
    [],
    float("nan"),
    float("inf"),
    -1,
    2**63,
    10**400,
)
NOT_NAMES: Final[tuple[object, ...]] = (
    MISSING,
    None,
    1,
    True,
    "",
    [],
    {},
    "\ud800",
    "a\x00",
    "x" * 256,
)
HOSTILE_CLAIMS: Final[dict[str, tuple[object, ...]]] = {
    "iss": (MISSING, None, "", "piccolo-fastapi", "piccolo-fastapi-auth/", "Piccolo-fastapi-auth", ["piccolo-fastapi-auth"]),
    "aud": (MISSING, None, "", "other", [], ["other"], "piccolo-fastapi-auth ", {"piccolo-fastapi-auth": 1}),
    "sub": (*NOT_NAMES, "01", "1 ", "+1", "١", "1.0", "alice"),
    "sid": (*NOT_NAMES, "x", "{00000000-0000-4000-8000-000000000000}", "0" * 32),
    "jti": NOT_NAMES,
    "exp": NOT_TIMES,
    "iat": (*NOT_TIMES, 4_000_000_000),
    "auth_time": (*NOT_TIMES, 4_000_000_000),
    "nbf": (*NOT_TIMES[1:], 4_000_000_000),
    "amr": (MISSING, None, "pwd", [1], [[]], {}),
    "scope": (MISSING, None, [], 1, "a  b", ' "', "é", " a"),
}  # fmt: skip
HOSTILE_HEADERS: Final[tuple[dict[str, object], ...]] = (
    {"typ": MISSING}, {"typ": "JWT"}, {"typ": "at+JWT"}, {"typ": None}, {"typ": ["at+jwt"]},
    {"alg": MISSING}, {"alg": "none"}, {"alg": "None"}, {"alg": "nOnE"}, {"alg": "hs256"}, {"alg": ["HS256"]},
    {"alg": "RS256"}, {"alg": 1}, {"alg": None}, {"kid": "../../x"}, {"kid": "' OR 1=1 --"}, {"kid": None},
    {"jwk": {"kty": "oct", "k": "eA"}}, {"jku": "https://evil.test/"}, {"x5u": "https://evil.test/"},
    {"x5c": ["MIIB"]}, {"crit": ["exp"]}, {"crit": []}, {"b64": False}, {"zip": "DEF"}, {"cty": "JWT"},
    {"enc": "A256GCM"}, {"kid": "k" * 2000}, {"x": [[[[[[]]]]]]},
)  # fmt: skip


def changed(members: dict[str, Any], name: str, value: object) -> dict[str, Any]:
    """Members with one changed or left out."""
    return {key: one for key, one in {**members, name: value}.items() if one is not MISSING}


def hmac_signed(header: object, claims: object, *, secret: bytes = SECRET.encode()) -> str:
    """A token with a good signature, by hand: python-jose refuses to write some of these headers."""
    return signed(header, claims, secret=secret)


async def assert_refused(client: AsyncClient, token: str, *, what: object = "") -> None:
    """No guard takes the token, and the challenge says that it is bad."""
    for path in ("/user", "/optional", "/principal", "/auth/session"):
        answer = await client.get(path, headers={b"authorization": b"Bearer " + token.encode()})
        assert answer.status_code == 401, (what, path, answer.text)
        assert code_of(answer) == "invalid_token", (what, path)
        assert 'error="invalid_token"' in answer.headers["www-authenticate"], what


async def test_a_good_signature_does_not_excuse_a_bad_claim(
    client: AsyncClient, alice: Person
) -> None:
    """JWT-6, JWT-7: our own secret, and a claim missing, of another type, out of bounds, or somebody else's."""
    claims = jwt.get_unverified_claims((await get_tokens(client, alice))["access_token"])
    control = jws.sign(claims, SECRET, headers={"typ": "at+jwt"}, algorithm="HS256")
    assert (await client.get("/user", headers={"authorization": f"Bearer {control}"})).is_success

    for name, values in HOSTILE_CLAIMS.items():
        for value in values:
            forged = hmac_signed(HEADER, changed(claims, name, value))
            await assert_refused(client, forged, what=(name, value))
    for name, value in (("sub", "2"), ("sub", "9" * 255), ("sub", "-1"), ("sid", str(UUID(int=1)))):
        forged = hmac_signed(HEADER, changed(claims, name, value))  # nobody signs this but us
        answer = await client.get("/user", headers={"authorization": f"Bearer {forged}"})
        assert code_of(answer) in {"invalid_token", "session_expired"}
    for payload in (
        b"[]",
        b"1",
        b'"x"',
        b"\xff",
        b"",
        b"null",
        b"NaN",
        b'{"iss":1,"iss":2}',
        b"[" * 2000,
    ):
        await assert_refused(client, hmac_signed(HEADER, payload), what=payload)


async def test_a_token_does_not_choose_how_it_is_verified(
    client: AsyncClient, alice: Person
) -> None:
    """JWT-2, JWT-4: other algorithms under our own secret, none at all, and headers that bring keys."""
    token = (await get_tokens(client, alice))["access_token"]
    claims = jwt.get_unverified_claims(token)
    header, payload, proof = token.split(".")

    for algorithm in ("HS384", "HS512"):
        other = jws.sign(claims, SECRET, headers={"typ": "at+jwt"}, algorithm=algorithm)
        await assert_refused(client, other, what=algorithm)
    for change in HOSTILE_HEADERS:
        ((name, value),) = change.items()
        forged = hmac_signed(changed(HEADER, name, value), claims)
        await assert_refused(client, forged, what=change)
        unsigned = f"{forged.rsplit('.', 1)[0]}."
        await assert_refused(client, unsigned, what=change)
    nested = segment(b'{"alg":' + b"[" * 2500)
    texts = (
        f"{header}.{payload}.", f"{header}.{payload}", f".{payload}.{proof}", f"{header}..{proof}", f"{token}.", f".{token}",
        f"{token}.{proof}", f"{header}.{payload}.{proof}.{proof}.{proof}", f"{header}=.{payload}.{proof}", f"{token}=",
        f"{nested}.{payload}.{proof}", f"{segment([])}.{payload}.{proof}", f"{segment(b'nul')}.{payload}.{proof}",
        "." * 3000, "a" * 64_000, f"{header}.{'A' * 1_000_000}.{proof}", token.swapcase(), token + token,
    )  # fmt: skip
    for text in texts:
        await assert_refused(client, text, what=text[:60])
    for at in range(0, len(token), 7):
        flipped = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        await assert_refused(client, flipped, what=at)


ES256: Final[dict[str, Any]] = {"algorithm": "ES256", "signing_keys": [pem_of(ec_key()).decode()]}


@pytest.mark.parametrize("settings_changes", [ES256], ids=["ES256"])
async def test_a_public_key_is_no_secret(client: AsyncClient, alice: Person) -> None:
    """JWT-3: HS256 under the public key in any form, or under the secret, is no ES256."""
    token = (await get_tokens(client, alice))["access_token"]
    claims, header = jwt.get_unverified_claims(token), jwt.get_unverified_header(token)
    jwks = (await client.get("/.well-known/jwks.json")).json()
    assert (await client.get("/user", headers={"authorization": f"Bearer {token}"})).is_success
    keys = [
        SECRET.encode(), public_pem_of(ec_key()), public_der_of(ec_key()), public_ssh_of(ec_key()),
        json.dumps(jwks["keys"][0]).encode(), header["kid"].encode(), b"",
    ]  # fmt: skip

    for key in keys:
        for kept in ({}, {"kid": header["kid"]}):
            await assert_refused(client, hmac_signed({**HEADER, **kept}, claims, secret=key))
            forged = hmac_signed({**HEADER, **kept, "alg": "ES256"}, claims, secret=key)
            await assert_refused(client, forged)
    another = jws.sign(
        claims,
        pem_of(ec_key(2)).decode(),
        headers={"typ": "at+jwt", "kid": header["kid"]},
        algorithm="ES256",
    )
    await assert_refused(client, another)


async def test_no_credential_stands_in_for_another(
    client: AsyncClient, alice: Person, clock: FrozenClock
) -> None:
    """JWT-5, RFT-7: cookie, access token and refresh token, each at the doors of the others; and too late."""
    tokens = await get_tokens(client, alice)
    cookie = (await log_in(client, alice)).cookies["__Host-session"]
    client.cookies.clear()

    for value in (cookie, tokens["refresh_token"]):
        await assert_refused(client, value)
    for value in (tokens["access_token"], tokens["refresh_token"]):
        answer = await client.get("/user", headers={b"cookie": COOKIE + value.encode()})
        assert code_of(answer) == "invalid_token"
    for value in (tokens["access_token"], cookie):
        assert (await refresh(client, value)).status_code in {401, 422}
        body = {"mfa_token": value[:64], "method": "totp", "code": "000000"}
        answer = await client.post("/auth/mfa/verify", json=body)
        assert code_of(answer) == "mfa_token_expired"
    clock.move(timedelta(seconds=599))
    assert (await client.get("/user", headers=bearer(tokens))).is_success
    clock.move(timedelta(seconds=1))
    assert code_of(await client.get("/user", headers=bearer(tokens))) == "token_expired"


BOUNDED = settings(
    max_examples=60, deadline=None, database=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip


@BOUNDED
@given(
    value=st.binary(max_size=120)
    | st.sampled_from([b"%00", b"\x00" * 43, b"\xff" * 43, b'"', b";", b"=" * 43, b"a" * 64_000]),
    scheme=st.sampled_from([b"Bearer ", b"bearer ", b"Basic ", b""]),
)
async def test_any_bytes_in_a_header_are_refused(
    client: AsyncClient, value: bytes, scheme: bytes
) -> None:
    """ERR-2: as ``Authorization`` and as ``Cookie``: 400 or 401, never 500."""
    for headers in (
        {b"authorization": scheme + value},
        {b"cookie": COOKIE + value},
        {b"cookie": value},
    ):
        for path in ("/user", "/principal"):
            answer = await client.get(path, headers=headers)
            assert answer.status_code in {400, 401}, headers
        assert (await client.get("/optional", headers=headers)).status_code in {200, 400, 401}
        await client.post("/auth/logout", headers=headers)
