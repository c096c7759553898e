"""Stolen passwords are refused wherever one is set; what leaves, and what happens when nobody answers."""

import hashlib
import logging
from datetime import timedelta
from typing import Any, Literal

import pytest

from piccolo_fastapi_auth import User
from piccolo_fastapi_auth.breaches import PwnedPasswords
from tests.fixtures import PASSWORD, code_of
from tests.outside.conftest import BAD, Service, bound, misbehave

BODY = {"username": "mira", "email": "mira@example.com", "password": PASSWORD}
STOLEN = "the horse left the pantry"
ONCE = pytest.mark.parametrize("engine_kind", ["sqlite"], indirect=True)


def digest(password: str) -> str:
    return hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest().upper()


def line(password: str, times: int) -> bytes:
    return f"{digest(password)[5:]}:{times}".encode()


def check(service: Service) -> PwnedPasswords:
    return PwnedPasswords(on_outage="refuse", url=service.url, within=timedelta(seconds=20))


async def test_a_stolen_password_is_refused_with_its_reason(call: Any, service: Service) -> None:
    """PWD-6: 422 ``breached`` at sign-up and at a change; five characters of the digest leave, no more."""
    client = call(breach_check=check(service))
    service.says(b"\r\n".join([line("something else", 3), line(STOLEN, 12)]))

    refused = await client.post("/auth/register", json={**BODY, "password": STOLEN})
    assert (refused.status_code, code_of(refused)) == (422, "password_rejected")
    assert refused.json()["detail"]["reason"] == "breached"
    assert not await User.exists()

    assert (await client.post("/auth/register", json=BODY)).status_code == 201
    assert (await client.post("/auth/login", json=BODY | {"email": None})).status_code == 422
    login = {"username": "mira", "password": PASSWORD}
    assert (await client.post("/auth/login", json=login)).status_code == 200
    change = {"current_password": PASSWORD, "new_password": STOLEN}
    refused = await client.post("/auth/password/change", json=change)
    assert refused.json()["detail"]["reason"] == "breached"

    assert [path for path, _ in service.asked] == [
        f"/{digest(password)[:5]}" for password in (STOLEN, PASSWORD, STOLEN)
    ]
    sent = "".join(service.heads)
    assert digest(STOLEN)[5:15] not in sent.upper()
    assert "add-padding: true" in sent.lower()


@ONCE
async def test_padding_is_not_a_breach(call: Any, service: Service) -> None:
    """A line with 0 was never seen."""
    service.says(line(PASSWORD, 0))

    assert (
        await call(breach_check=check(service)).post("/auth/register", json=BODY)
    ).status_code == 201


@ONCE
@pytest.mark.parametrize("how", BAD)
@pytest.mark.parametrize("on_outage", ["allow", "refuse"])
async def test_an_outage_is_decided_by_the_application(
    how: str,
    on_outage: Literal["allow", "refuse"],
    call: Any,
    service: Service,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """PWD-6: within the bound, set or 503 as told, and the log says that nobody was asked."""
    caplog.set_level(logging.WARNING)
    misbehave(service, how)
    url = "http://127.0.0.1:1/" if how == "nobody there" else service.url
    asked = PwnedPasswords(on_outage=on_outage, url=url, within=bound(how))
    answer = await call(breach_check=asked).post("/auth/register", json=BODY)

    assert answer.status_code == (201 if on_outage == "allow" else 503), answer.text
    assert await User.exists() == (on_outage == "allow")
    assert "breach check does not answer" in caplog.text
    assert digest(PASSWORD)[:5] not in caplog.text
    assert len(service.asked) <= 1


@ONCE
async def test_a_password_of_the_site_is_refused_before_anybody_is_asked(
    call: Any, service: Service
) -> None:
    """PWD-3: the word lists come first; nothing of such a password leaves."""
    client = call(breach_check=check(service))
    for password, reason in (
        ("mira@example.com", "context"),
        ("password1234567", "common"),
        ("short", "too_short"),
    ):
        answer = await client.post("/auth/register", json={**BODY, "password": password})
        assert answer.json()["detail"]["reason"] == reason

    assert service.asked == []


@ONCE
@pytest.mark.parametrize("settings_changes", [{"password_words": ["Acme Corporation"]}])
async def test_words_of_the_site_are_refused(call: Any) -> None:
    """PWD-3: the name of the site with a year is the first guess; a phrase that contains it is not."""
    client = call()
    answer = await client.post("/auth/register", json={**BODY, "password": "AcmeCorporation2026"})
    assert (answer.status_code, answer.json()["detail"]["reason"]) == (422, "context")

    phrase = {**BODY, "password": "acme corporation sells anvils"}
    assert (await client.post("/auth/register", json=phrase)).status_code == 201


def test_the_outage_policy_must_be_said() -> None:
    """There is no default, and no third."""
    with pytest.raises(TypeError):
        PwnedPasswords()  # type: ignore[call-arg] # that is the point
    with pytest.raises(ValueError, match="allow"):
        PwnedPasswords(on_outage="ignore")  # type: ignore[arg-type] # that is the point
