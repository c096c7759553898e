"""A person with an authenticator app, over HTTP. The app is another implementation of RFC 6238: mintotp."""

import base64
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import mintotp  # type: ignore[import-untyped] # it ships no types
from httpx import AsyncClient, Response

from piccolo_fastapi_auth.testing import FrozenClock
from tests.fixtures import PASSWORD, bearer, code_of

STEP: Final = timedelta(seconds=30)
DEVICE_COOKIE: Final = "__Host-session-device"
TRUST_COOKIE: Final = "__Host-session-trusted"
WINDOW: Final = timedelta(minutes=15)
PASSWORD_FORM: Final = {"grant_type": "password", "username": "alice", "password": PASSWORD}
WIDE_DIGITS: Final = str.maketrans("0123456789", "０１２３４５６７８９")


def code_at(secret: str, moment: datetime, *, digits: int = 6, digest: str = "sha1") -> str:
    """What an authenticator app shows at a moment."""
    step = int(moment.timestamp()) // 30
    return str(mintotp.hotp(secret, step, digits=digits, digest=digest))


@dataclass(frozen=True)
class Phone:
    """An authenticator app with one enrolment in it, and the recovery codes on paper."""

    id: str
    secret: str
    clock: FrozenClock
    recovery_codes: list[str] = field(default_factory=list)

    def code(self, steps: int = 0) -> str:
        """What it shows now, or some steps away."""
        return code_at(self.secret, self.clock() + steps * STEP)

    def wrong(self) -> str:
        """A code that it shows in none of the steps around."""
        near = {self.code(steps) for steps in range(-3, 4)}
        return next(code for code in (f"{number:06}" for number in range(10)) if code not in near)


async def begin(
    client: AsyncClient, *, name: str = "Phone", headers: dict[str, str] | None = None
) -> dict[str, str]:
    """Start to set up an authenticator app; return what is shown once."""
    answer = await client.post("/auth/mfa/totp", json={"name": name}, headers=headers)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def confirm(
    client: AsyncClient, begun: dict[str, str], code: str, headers: dict[str, str] | None = None
) -> Response:
    """Give the first code of an enrolment."""
    body = {"id": begun["id"], "code": code}
    return await client.post("/auth/mfa/totp/confirm", json=body, headers=headers)


async def enrol(
    client: AsyncClient,
    clock: FrozenClock,
    *,
    name: str = "Phone",
    headers: dict[str, str] | None = None,
) -> Phone:
    """Set up an authenticator app; the step of the confirming code is over afterwards."""
    begun = await begin(client, name=name, headers=headers)
    answer = await confirm(client, begun, code_at(begun["secret"], clock()), headers)
    assert answer.status_code == 200, answer.text
    clock.move(STEP)
    return Phone(begun["id"], begun["secret"], clock, answer.json()["recovery_codes"])


async def challenge(client: AsyncClient, username: str = "alice") -> str:
    """Begin a cookie log-in with the right password; return the challenge's token."""
    body = {"username": username, "password": PASSWORD}
    answer = await client.post("/auth/login", json=body)
    assert (answer.status_code, code_of(answer)) == (401, "mfa_required"), answer.text
    return str(answer.json()["detail"]["mfa_token"])


async def token_challenge(client: AsyncClient, scope: str = "") -> str:
    """Begin a bearer log-in with the right password; return the challenge's token."""
    answer = await client.post("/auth/token", data={**PASSWORD_FORM, "scope": scope})
    assert (answer.status_code, answer.json()["error"]) == (403, "mfa_required"), answer.text
    return str(answer.json()["mfa_token"])


async def verify(client: AsyncClient, token: str, code: Any, method: str = "totp") -> Response:
    """Answer a challenge."""
    body = {"mfa_token": token, "method": method, "code": code}
    return await client.post("/auth/mfa/verify", json=body)


async def log_in_with(client: AsyncClient, code: str, method: str = "totp") -> Response:
    """Log in with a cookie: a password, then a code."""
    return await verify(client, await challenge(client), code, method)


async def tokens_with(client: AsyncClient, code: str) -> dict[str, str]:
    """Log in with tokens: a password and a code in one form."""
    answer = await client.post("/auth/token", data={**PASSWORD_FORM, "mfa_code": code})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def prove_again(
    client: AsyncClient, code: str, method: str = "totp", tokens: dict[str, str] | None = None
) -> Response:
    """Prove to be the same person again, with a code."""
    return await client.post(
        "/auth/reauthenticate",
        json={"method": method, "code": code},
        headers=bearer(tokens) if tokens else None,
    )


def claims(tokens: dict[str, str]) -> dict[str, Any]:
    """What an access token says."""
    payload = tokens["access_token"].split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(payload + "==")))


def credentials_in(answer: Response) -> list[str]:
    """Name the credentials that an answer hands out: a cookie with a value, or tokens anywhere in the body.

    The device cookie is none: it opens nothing, and only keeps strangers from locking its owner out.
    """
    cookies = [
        value.split(";")[0].partition("=") for value in answer.headers.get_list("set-cookie")
    ]
    given = [name for name, _, value in cookies if value.strip('"') and name != DEVICE_COOKIE]
    members = ("access_token", "refresh_token", "key")
    return given + [name for name in members if f'"{name}":' in answer.text]
