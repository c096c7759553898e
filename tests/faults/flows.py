"""What people do that takes several statements, and what must hold when it breaks off in the middle (FLT-2)."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from typing import Final

from httpx import AsyncClient, Response
from piccolo.apps.user.tables import BaseUser

from piccolo_fastapi_auth import User
from piccolo_fastapi_auth.sessions.tables import AuthSession
from piccolo_fastapi_auth.users.tables import AuthAccount
from tests.fixtures import PASSWORD, Browsers, Person, get_tokens, log_in, refresh

LEGACY: Final = BaseUser.hash_password(PASSWORD, iterations=1)
OTHER: Final = "a mule in the larder"
NUMBERS: Final = count()

Check = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Step:
    """A request that will be broken off, and the check that the world is as it was before it or as after it."""

    send: Callable[[], Awaitable[Response]]
    check: Check


async def log_in_again(new_browser: Browsers, person: Person) -> Step:
    """A log-in with a cookie and an old hash: the session is replaced and the hash upgraded, or neither."""
    await AuthSession.delete(force=True)
    await User.update({User.password: LEGACY}).where(User.id == person.id)
    browser = new_browser()
    await log_in(browser, person)
    await User.update({User.password: LEGACY}).where(User.id == person.id)
    before = await AuthSession.select(AuthSession.id)

    async def check() -> None:
        after = await AuthSession.select(AuthSession.id)
        stored = await User.select(User.password).where(User.id == person.id).first()
        assert stored is not None
        assert len(after) == 1
        assert (after == before) == (stored["password"] == LEGACY)

    body = {"username": person.username, "password": PASSWORD}
    return Step(lambda: browser.post("/auth/login", json=body), check)


async def rotate(new_browser: Browsers, person: Person) -> Step:
    """A refresh: the client's token or its successor goes on working (RFT-8), and there is one row."""
    await AuthSession.delete(force=True)
    browser = new_browser()
    tokens = await get_tokens(browser, person)

    async def check() -> None:
        assert await AuthSession.count() == 1
        again = await refresh(browser, tokens["refresh_token"])
        assert again.status_code == 200, again.text
        successor = again.json()["refresh_token"]
        assert successor.split(".")[1] == "1"  # whichever request made it
        assert (await refresh(browser, successor)).status_code == 200

    return Step(lambda: refresh(browser, tokens["refresh_token"]), check)


async def sign_up(new_browser: Browsers, _: Person) -> Step:
    """A sign-up: person and account, or neither; trying again says which."""
    name = f"person{next(NUMBERS)}"
    body = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
    browser = new_browser()

    async def check() -> None:
        people = await User.select(User.id).where(User.username == name)
        accounts = await AuthAccount.count().where(
            AuthAccount.user.is_in([0, *(p["id"] for p in people)])
        )
        assert accounts == len(people)
        again = await browser.post("/auth/register", json=body)
        assert again.status_code == (409 if people else 201), again.text

    return Step(lambda: browser.post("/auth/register", json=body), check)


async def change_password(new_browser: Browsers, person: Person) -> Step:
    """A change of the password: the new one counts and the other sessions have ended, or neither."""
    await AuthSession.delete(force=True)
    await User.update({User.password: LEGACY}).where(User.id == person.id)
    device, other = new_browser(), new_browser()
    await log_in(other, person)
    await log_in(device, person)
    before = await User.select(User.password).where(User.id == person.id).first()

    async def check() -> None:
        after = await User.select(User.password).where(User.id == person.id).first()
        refused = (await other.get("/user")).status_code == 401
        assert (after != before) == refused
        assert (await device.get("/user")).status_code == 200
        answer = await new_browser().post(
            "/auth/login",
            json={"username": person.username, "password": OTHER if refused else PASSWORD},
        )
        assert answer.status_code == 200

    body = {"current_password": PASSWORD, "new_password": OTHER}
    return Step(lambda: device.post("/auth/password/change", json=body), check)


Flow = Callable[[Browsers, Person], Awaitable[Step]]
FLOWS: Final[tuple[Flow, ...]] = (log_in_again, rotate, sign_up, change_password)


async def is_well(client: AsyncClient) -> None:
    """Many at once are served: no connection was lost to an earlier failure."""
    answers = await asyncio.gather(
        *(client.post("/auth/register", json={
            "username": f"late{n}", "email": f"late{n}@example.com", "password": PASSWORD,
        }) for n in range(12))
    )  # fmt: skip
    assert [answer.status_code for answer in answers] == [201] * 12
