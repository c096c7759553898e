"""What a thief of the database, or a reader of the log, finds: nothing that can be presented."""

import asyncio
import base64
import hashlib
import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pyotp
import pytest
from httpx import AsyncClient, Response
from piccolo.table import Table

from piccolo_fastapi_auth import Auth, User
from piccolo_fastapi_auth.api_keys import keys
from piccolo_fastapi_auth.api_keys.tables import AuthApiKey
from piccolo_fastapi_auth.sessions.tables import AuthSession
from piccolo_fastapi_auth.testing import FrozenClock
from tests.fixtures import (
    PASSWORD,
    Browsers,
    People,
    Person,
    bearer,
    get_tokens,
    log_in,
    refresh,
)

COOKIE: Final = "__Host-session"
WRONG: Final = "a wrong horse in the pantry"
NEW: Final = "another horse in another pantry"
SHOWN_ONCE: Final = (
    "access_token",
    "refresh_token",
    "mfa_token",
    "secret",
    "recovery_codes",
    "key",
)


pytestmark = pytest.mark.parametrize(
    "settings_changes", [{"trusted_device_lifetime": timedelta(days=30)}], ids=["trust"]
)


class Safe:
    """Every secret that was typed or handed out."""

    def __init__(self) -> None:
        self.secrets = {PASSWORD, WRONG, NEW}

    def keep(self, answer: Response) -> Any:
        """Take the secrets of an answer; return its body."""
        self.secrets.update(value for value in answer.cookies.values() if value)
        body = answer.json() if answer.content else {}
        for members in (body, body.get("detail", {})) if isinstance(body, dict) else ():
            for name in SHOWN_ONCE:
                value = members.get(name, []) if isinstance(members, dict) else []
                self.secrets.update(value if isinstance(value, list) else [value])
        return body

    def parts(self) -> Iterator[str]:
        """Each secret, and the parts of it that would be enough."""
        for secret in self.secrets:
            yield secret
            yield secret.replace("-", "")
            if secret.startswith("pfa_"):
                yield secret.split("_")[2]
            yield secret.rsplit(".", 1)[
                -1
            ]  # the mac of a refresh token, the proof of an access token


def spellings(secret: str) -> Iterator[str]:
    """A secret as it might be written: itself, its bytes, and what it decodes to, in hex and base64."""
    raws = [secret.encode()]
    for decode in (base64.urlsafe_b64decode, base64.b32decode):
        with_padding = secret + "=" * (
            -len(secret) % (4 if decode is base64.urlsafe_b64decode else 8)
        )
        try:
            raws.append(decode(with_padding))
        except ValueError:
            continue
    yield secret
    for raw in raws:
        encoded = base64.b64encode(raw).decode().rstrip("=")
        yield from (
            raw.hex(),
            raw.hex().upper(),
            encoded,
            encoded.replace("+", "-").replace("/", "_"),
        )
        yield from (repr(raw)[2:-1], base64.b32encode(raw).decode().rstrip("="))
    if " " in secret:  # a password, which a plain digest does not protect
        for algorithm in ("md5", "sha1", "sha256", "sha512"):
            yield hashlib.new(algorithm, secret.encode()).hexdigest()


async def use_second_factors(
    client: AsyncClient, device: AsyncClient, clock: FrozenClock, safe: Safe
) -> list[str]:
    """Enrol, log in with codes by cookie and by token, prove again; return the last recovery codes."""
    body = {"username": "alice", "password": PASSWORD}
    form = {**body, "grant_type": "password"}
    begun = safe.keep(await client.post("/auth/mfa/totp", json={"name": "Phone"}))
    code = pyotp.TOTP(begun["secret"]).at(clock())
    confirm = {"id": begun["id"], "code": code}
    codes = safe.keep(await client.post("/auth/mfa/totp/confirm", json=confirm))["recovery_codes"]
    clock.move(timedelta(seconds=30))
    for used in codes[:2]:
        challenge = safe.keep(await device.post("/auth/login", json=body))["detail"]
        proof = {"mfa_token": challenge["mfa_token"], "method": "recovery_code"}
        assert (
            await device.post("/auth/mfa/verify", json={**proof, "code": codes[9][:-1]})
        ).status_code == 401
        safe.keep(await device.post("/auth/mfa/verify", json={**proof, "code": used}))
    device.cookies.clear()
    safe.keep(await device.post("/auth/token", data=form))
    by_code = {**form, "mfa_code": pyotp.TOTP(begun["secret"]).at(clock())}
    tokens = safe.keep(await device.post("/auth/token", data=by_code))
    assert "access_token" in tokens
    proof = {"method": "recovery_code", "code": codes[3]}
    safe.keep(await client.post("/auth/reauthenticate", json=proof))
    challenge = safe.keep(await client.post("/auth/login", json=body))["detail"]
    proof = {"mfa_token": challenge["mfa_token"], "method": "recovery_code", "code": codes[4]}
    trusting = {**proof, "trust_device": True}
    assert safe.keep(await client.post("/auth/mfa/verify", json=trusting))["session"]["current"]
    assert len(client.cookies[f"{COOKIE}-trusted"]) == 43
    return list(safe.keep(await client.post("/auth/mfa/recovery-codes"))["recovery_codes"])


async def use_api_keys(client: AsyncClient, safe: Safe) -> None:
    """Make a key, use it, roll it over, revoke its successor."""
    made = safe.keep(await client.post("/auth/api-keys", json={"name": "robot"}))
    cookies = dict(client.cookies)
    client.cookies.clear()
    for key in (made["key"], made["key"][:-1]):
        await client.get("/user", headers={"X-API-Key": key})
    client.cookies.update(cookies)
    rolled = safe.keep(await client.post(f"/auth/api-keys/{made['id']}/rollover"))
    assert (await client.delete(f"/auth/api-keys/{rolled['id']}")).status_code == 204


async def use_everything(client: AsyncClient, new_browser: Browsers, clock: FrozenClock) -> Safe:
    """Walk through every flow once, right and wrong."""
    safe, device = Safe(), new_browser()
    body = {"username": "alice", "password": PASSWORD}
    form = {**body, "grant_type": "password"}
    wrong = {**body, "password": WRONG}
    for answer in (
        await client.post("/auth/login", json=wrong),
        await client.post("/auth/login", json={**wrong, "password": [WRONG]}),
        await client.post("/auth/token", data={**form, "password": WRONG}),
        await client.post("/auth/login", json=body),
        await client.post("/auth/reauthenticate", json={"password": PASSWORD}),
    ):
        safe.keep(answer)
    tokens = safe.keep(await device.post("/auth/token", data=form))
    for _ in range(2):
        tokens = safe.keep(await refresh(device, tokens["refresh_token"]))
    form_of_refresh = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    tokens = safe.keep(await device.post("/auth/token", data=form_of_refresh))
    safe.keep(
        await device.post(
            "/auth/reauthenticate", json={"password": PASSWORD}, headers=bearer(tokens)
        )
    )
    assert await use_second_factors(client, device, clock, safe)
    change = {"current_password": WRONG, "new_password": NEW}
    assert (await client.post("/auth/password/change", json=change)).status_code == 401
    change = {"current_password": PASSWORD, "new_password": NEW}
    assert (await client.post("/auth/password/change", json=change)).status_code == 204
    await use_api_keys(client, safe)
    for path in ("/auth/session", "/auth/sessions", "/auth/me", "/auth/mfa", "/auth/api-keys"):
        assert (await client.get(path)).status_code == 200
    await device.post("/auth/token/revoke", data={"token": tokens["refresh_token"]})
    await device.post("/auth/logout")
    waiting = safe.keep(await new_browser().post("/auth/login", json={**body, "password": NEW}))
    assert waiting["detail"]["mfa_token"]
    assert len(safe.secrets) > 35
    return safe


def files_in(folder: Path) -> list[str]:
    """Every byte of an SQLite file, where deleted rows linger, each as one character."""
    return [path.read_bytes().decode("latin-1") for path in folder.glob("auth.sqlite*")]


async def test_no_secret_is_stored(
    *, client: AsyncClient, new_browser: Browsers, alice: Person, clock: FrozenClock,
    tables: list[type[Table]], tmp_path: Path, auth: Auth[User],
) -> None:  # fmt: skip
    """SES-2: after all flows no table holds an issued secret, raw, in hex or in base64."""
    await auth.roles.define("reader", ["posts:read"])
    await auth.roles.grant(alice.id, await auth.roles.named("reader"))
    safe = await use_everything(client, new_browser, clock)
    safe.secrets.update(key.get_secret_value() for key in auth.settings.secret_keys)

    rows = [await table.select() for table in tables]
    stored = "\n".join([str(rows), *files_in(tmp_path)])

    empty = [table._meta.tablename for table, held in zip(tables, rows, strict=True) if not held]
    assert empty == ["auth_import"]  # nothing came over from elsewhere
    assert alice.email in stored
    for secret in safe.parts():
        for spelling in spellings(secret):
            assert spelling not in stored, secret


async def test_what_is_stored_cannot_be_presented(
    new_browser: Browsers, sign_up: People, clock: FrozenClock, tables: list[type[Table]]
) -> None:
    """SES-2: no value of any table is a cookie, a bearer token, a refresh token, a challenge or a recovery code."""
    alice, bob = await sign_up("alice"), await sign_up("bob")
    client = new_browser()
    await use_everything(client, new_browser, clock)
    await log_in(new_browser(), bob)
    await get_tokens(new_browser(), bob)
    body = {"username": alice.username, "password": NEW}
    challenge = (await new_browser().post("/auth/login", json=body)).json()["detail"]["mfa_token"]
    rows = [row for table in tables for row in await table.select()]
    values = {str(value) for row in rows for value in row.values() if value}
    for row in await AuthSession.select():
        start = f"{row['id']}.{row['generation']}"
        values |= {f"{start}.{row[name]}" for name in ("refresh_salt", "token_hash") if row[name]}
    for row in await AuthApiKey.select():
        for secret in (row["secret_hash"], row["secret_hash"][:43]):
            key = f"pfa_{row['id']}_{secret}"
            values.add(f"{key}_{keys.checksum(key)}")
    assert len(values) > 40

    thief = new_browser()
    for value in values:
        sent = value.encode()
        for headers in (
            {b"authorization": b"Bearer " + sent},
            {b"cookie": b"__Host-session=" + sent},
            {b"x-api-key": sent},
        ):
            assert (await thief.get("/user", headers=headers)).status_code == 401, value
        assert (await refresh(thief, value[:512])).status_code in {401, 422}, value
        proof = {"mfa_token": value[:64], "method": "totp", "code": "000000"}
        assert (await thief.post("/auth/mfa/verify", json=proof)).status_code in {401, 422}, value
    for value in [str(row["code_hash"]) for row in rows if "code_hash" in row][:4]:
        proof = {"mfa_token": challenge, "method": "recovery_code", "code": value}
        assert (await thief.post("/auth/mfa/verify", json=proof)).status_code == 401, value
    assert (await client.get("/user")).status_code == 200


async def test_what_looks_like_a_secret_is_in_a_secret_column(
    client: AsyncClient, new_browser: Browsers, alice: Person, clock: FrozenClock, tables: list[type[Table]]
) -> None:  # fmt: skip
    """SES-2: Piccolo Admin and ``exclude_secrets`` leave out every column with long random text in it."""
    await use_everything(client, new_browser, clock)
    await client.post("/auth/login", json={"username": alice.username, "password": NEW})

    for table in tables:
        secret = {column._meta.name for column in table._meta.secret_columns}
        for row in await table.select():
            long = {
                name for name, value in row.items() if isinstance(value, str) and len(value) >= 32
            }
            found = {name for name in long if not set(str(row[name])) & set(" {")} - {"request_id"}
            assert found <= secret, table
    marked = {f"{t._meta.tablename}.{c._meta.name}" for t in tables for c in t._meta.secret_columns}
    assert marked == {
        "piccolo_user.password", "auth_session.token_hash", "auth_session.refresh_salt", "auth_recovery_code.code_hash",
        "auth_one_time_token.token_hash", "auth_one_time_token.binding", "auth_mfa_method.state", "auth_trusted_device.token_hash",
        "auth_api_key.secret_hash", "auth_recovery_code.derivation",
    }  # fmt: skip


class Listener(logging.Handler):
    """Keeps all that a log could show: message, arguments, traceback."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record apart."""
        self.heard.append(f"{self.format(record)}\n{record.__dict__}")


async def test_no_secret_is_logged(
    client: AsyncClient, new_browser: Browsers, alice: Person, clock: FrozenClock, auth: Auth[User]
) -> None:
    """AUD-3: at DEBUG, by anybody, with asyncio's own debugging on; also while the database is broken."""
    root, listener, loop = logging.getLogger(), Listener(), asyncio.get_running_loop()
    level, duration = root.level, loop.slow_callback_duration
    root.addHandler(listener)
    root.setLevel(logging.DEBUG)
    loop.set_debug(True)
    loop.slow_callback_duration = (
        0  # each callback counts as slow, and is logged with its arguments
    )
    try:
        safe = await use_everything(client, new_browser, clock)
        await AuthSession.raw("ALTER TABLE auth_session RENAME TO elsewhere")
        body = {"username": alice.username, "password": NEW}
        broken = [
            await client.post("/auth/token", data={**body, "grant_type": "password"}),
            await client.post("/auth/refresh", json={"refresh_token": f"{alice.id}.0.x"}),
            await client.get("/user"),
        ]
    finally:
        loop.set_debug(False)
        loop.slow_callback_duration = duration
        root.setLevel(level)
        root.removeHandler(listener)

    safe.secrets.update(key.get_secret_value() for key in auth.settings.secret_keys)
    heard = "\n".join(listener.heard)
    assert 503 in {answer.status_code for answer in broken}
    assert "The database cannot answer" in heard
    for secret in safe.parts():
        for spelling in spellings(secret):
            assert spelling not in heard, secret
