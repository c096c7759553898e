"""The CAPTCHA hook: closed on anything but a clear yes."""

import json
from typing import Any

import pytest
from httpx import AsyncClient

from piccolo_fastapi_auth import User
from piccolo_fastapi_auth.captcha import Captcha, HCaptcha, ReCaptcha, Turnstile
from tests.fixtures import PASSWORD, code_of
from tests.outside.conftest import BAD, Service, bound, misbehave

BODY = {"username": "mira", "email": "mira@example.com", "password": PASSWORD}
LOGIN = {"username": "mira", "password": PASSWORD}
SOLVED = {"X-Captcha-Token": "solved-k9Qx"}
SECRET = "0x-MARK-v4Tz"
KINDS = [HCaptcha, ReCaptcha, Turnstile]
ONCE = pytest.mark.parametrize("engine_kind", ["sqlite"], indirect=True)


def yes(**more: object) -> bytes:
    return json.dumps({"success": True, "hostname": "app.test", **more}).encode()


async def sign_up(client: AsyncClient, **headers: str) -> Any:
    return await client.post("/auth/register", json=BODY, headers={**SOLVED, **headers})


@pytest.mark.parametrize("kind", KINDS)
async def test_a_solved_captcha_opens_the_routes_of_strangers(
    kind: type[HCaptcha], call: Any, service: Service
) -> None:
    """Sign-up, log-in and tokens ask the service with secret and token; a refresh does not."""
    client = call(captcha=kind(SECRET, url=service.url, hostnames=["app.test"]))
    service.says(yes())

    assert (await sign_up(client)).status_code == 201
    assert (await client.post("/auth/login", json=LOGIN, headers=SOLVED)).status_code == 200
    client.cookies.clear()
    grant = {"grant_type": "password", **LOGIN}
    tokens = await client.post("/auth/token", data=grant, headers=SOLVED)
    assert tokens.status_code == 200
    refresh = {"grant_type": "refresh_token", "refresh_token": tokens.json()["refresh_token"]}
    assert (await client.post("/auth/token", data=refresh)).status_code == 200

    assert [form["response"] for _, form in service.asked] == [[SOLVED["X-Captcha-Token"]]] * 3
    assert service.asked[0][1]["secret"] == [SECRET]
    assert SECRET not in repr(vars(kind(SECRET)))


async def test_without_a_token_nobody_is_asked(call: Any, service: Service) -> None:
    """403 on every route that a stranger can try a password or a name on; the token endpoint in its own words."""
    client = call(captcha=Turnstile(SECRET, url=service.url))
    for path, body in (("register", BODY), ("login", LOGIN)):
        for headers in ({}, {"X-Captcha-Token": ""}, {"X-Captcha-Token": "x" * 8193}):
            answer = await client.post(f"/auth/{path}", json=body, headers=headers)
            assert (answer.status_code, code_of(answer)) == (403, "captcha_failed"), path
    for grant in ({"grant_type": "password", **LOGIN}, {**LOGIN}, {"grant_type": "x", **LOGIN}):
        answer = await client.post("/auth/token", data=grant)
        assert (answer.status_code, answer.json()["error"]) == (403, "captcha_failed")
    twice = "grant_type=refresh_token&grant_type=password&username=mira&password=x"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert (await client.post("/auth/token", content=twice, headers=form)).status_code == 403

    assert service.asked == []
    assert not await User.exists()


@ONCE
@pytest.mark.parametrize(
    "answer",
    [
        b'{"success": false}',
        b'{"success": "true"}',
        b'{"success": 1}',
        b"{}",
        b"[true]",
        b"true",
        b'{"success": true, "hostname": "evil.test"}',
        b'{"success": true}',
        b'{"success": null, "hostname": "app.test"}',
    ],
)
async def test_anything_but_a_clear_yes_is_a_no(answer: bytes, call: Any, service: Service) -> None:
    """Truthy is not true, and a CAPTCHA solved on another site is not ours."""
    service.says(answer)
    client = call(captcha=HCaptcha(SECRET, url=service.url, hostnames=["app.test"]))

    refused = await sign_up(client)

    assert (refused.status_code, code_of(refused)) == (403, "captcha_failed")
    assert not await User.exists()


@ONCE
@pytest.mark.parametrize("how", BAD)
async def test_a_service_that_fails_lets_nobody_in(how: str, call: Any, service: Service) -> None:
    """503 within the bound, whatever goes wrong."""
    misbehave(service, how)
    url = "http://127.0.0.1:1/" if how == "nobody there" else service.url
    client = call(captcha=Turnstile(SECRET, url=url, within=bound(how)))

    refused = await sign_up(client)

    assert (refused.status_code, code_of(refused)) == (503, "temporarily_unavailable")
    assert not await User.exists()
    assert len(service.asked) <= 1


@ONCE
@pytest.mark.parametrize(
    ("score", "status"),
    [(0.9, 201), (0.5, 201), (0.4, 403), (None, 403), ("0.9", 403), (2, 403), (True, 403)],
)
async def test_a_score_must_be_high_enough(
    score: object, status: int, call: Any, service: Service
) -> None:
    """Version 3 of reCAPTCHA: without a score, or with something else, the answer is no."""
    service.says(yes(score=score))
    client = call(captcha=ReCaptcha(SECRET, url=service.url, least_score=0.5))

    assert (await sign_up(client)).status_code == status


class Own:
    """A validator of the application."""

    def __init__(self, answer: object) -> None:
        self._answer = answer

    async def verify(self, token: str, *, ip: str | None) -> bool:
        del token, ip
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer  # type: ignore[return-value] # that is the point

    async def aclose(self) -> None:
        return


@ONCE
@pytest.mark.parametrize(
    ("answer", "status"),
    [(True, 201), (False, 403), (None, 403), ("yes", 403), (object(), 403), (KeyError("x"), 503)],
    ids=["true", "false", "none", "text", "object", "error"],
)
async def test_a_validator_of_the_application_fails_closed_too(
    answer: object, status: int, call: Any
) -> None:
    """The library that this one replaces let objects through."""
    own: Captcha = Own(answer)

    assert (await sign_up(call(captcha=own))).status_code == status
