"""What a thief of the database, or a reader of the log, finds: nothing that can be presented."""

import base64
import logging

import pytest
from httpx import AsyncClient
from piccolo.table import Table

from piccolo_fastapi_auth import Auth, User
from piccolo_fastapi_auth.sessions.tables import AuthSession
from piccolo_fastapi_auth.tables import TABLES
from tests.fixtures import PASSWORD, Browsers, Person, bearer, get_tokens, log_in, refresh
from tests.mfa.test_mfa import enrol

USERS: type[Table] = User


def _spellings(secret: str) -> set[str]:
    raw = secret.encode()
    encoded = base64.b64encode(raw).decode().rstrip("=")
    return {secret, raw.hex(), encoded, encoded.replace("+", "-").replace("/", "_")}


async def test_no_issued_secret_is_stored_or_logged(
    client: AsyncClient,
    new_browser: Browsers,
    alice: Person,
    auth: Auth[User],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """SES-2, AUD-3: after all flows, no table and no DEBUG record holds one in any encoding."""
    caplog.set_level(logging.DEBUG)
    tokens = await get_tokens(new_browser(), alice)
    refreshed = (await refresh(client, tokens["refresh_token"])).json()
    cookies = [(await log_in(client, alice)).cookies["__Host-session"]]
    renewed = await client.post("/auth/reauthenticate", json={"password": PASSWORD})
    cookies.append(renewed.cookies["__Host-session"])
    seed, codes = await enrol(client, auth.clock)  # type: ignore[arg-type] # the frozen clock of the fixtures
    challenge = await new_browser().post(
        "/auth/login", json={"username": "alice", "password": PASSWORD}
    )
    secrets = [
        PASSWORD, seed, *codes, *(code.replace("-", "") for code in codes), *cookies,
        challenge.json()["detail"]["mfa_token"], tokens["access_token"], refreshed["access_token"],
        *(one["refresh_token"].rsplit(".", 1)[1] for one in (tokens, refreshed)),
        *(key.get_secret_value() for key in auth.settings.secret_keys),
    ]  # fmt: skip

    dump = "".join([str(await table.select()) for table in [USERS, *TABLES]])

    assert "alice" in dump
    for secret in secrets:
        for spelling in _spellings(secret):
            assert spelling not in dump
            assert spelling not in caplog.text


async def test_what_is_stored_cannot_be_presented(
    client: AsyncClient, new_browser: Browsers, alice: Person
) -> None:
    """SES-2: digests and salts from the table are no cookie, no bearer and no refresh token."""
    await log_in(client, alice)
    await get_tokens(new_browser(), alice)
    rows = await AuthSession.select()
    values = {str(value) for row in rows for value in row.values() if value}

    for value in values:
        thief = new_browser()
        headers = {b"Authorization": f"Bearer {value}".encode()}
        assert (await thief.get("/user", headers=headers)).status_code == 401
        assert (await refresh(thief, value)).status_code == 401
        cookie = {b"Cookie": f"__Host-session={value}".encode()}
        assert (await thief.get("/user", headers=cookie)).status_code == 401


def test_every_secret_column_is_marked() -> None:
    """Piccolo Admin and ``exclude_secrets`` leave them out."""
    marked = {f"{t._meta.tablename}.{c._meta.name}" for t in TABLES for c in t._meta.secret_columns}

    assert marked == {
        "auth_session.token_hash", "auth_session.refresh_salt", "auth_one_time_token.token_hash",
        "auth_one_time_token.binding", "auth_mfa_method.state", "auth_recovery_code.code_hash",
    }  # fmt: skip


async def test_a_guard_costs_one_statement_and_a_principal_none(
    client: AsyncClient, alice: Person, auth: Auth[User]
) -> None:
    """Counted where statements leave the library."""
    tokens = await get_tokens(client, alice)
    counted: list[str] = []
    fetch, write = auth._database.fetch, auth._database.write

    async def counting_fetch(template: str, *values: object) -> object:
        counted.append(template)
        return await fetch(template, *values)

    async def counting_write(query: object) -> object:
        counted.append(str(query))
        return await write(query)  # type: ignore[arg-type] # passed on as it came

    auth._database.fetch = counting_fetch  # type: ignore[method-assign, assignment] # a counter around the real one
    auth._database.write = counting_write  # type: ignore[method-assign, assignment] # as above

    assert (await client.get("/principal", headers=bearer(tokens))).status_code == 200
    assert counted == []
    assert (await client.get("/user", headers=bearer(tokens))).status_code == 200
    assert len(counted) == 1
