"""What a guard costs, counted where the drivers send statements (PERFORMANCE.md 1)."""

import contextlib
from datetime import timedelta
from typing import Annotated

import pytest
from fastapi import Depends, FastAPI
from httpx import ASGITransport, AsyncClient

from piccolo_fastapi_auth import Auth, Principal, Session, User
from piccolo_fastapi_auth.testing import FrozenClock
from tests.fixtures import ORIGIN, Person, bearer, get_tokens, log_in
from tests.statements import Statements


@pytest.mark.parametrize("opened", [False, True], ids=["no-lifespan", "lifespan"])
async def test_a_guard_is_one_statement_and_a_principal_from_a_token_is_none(
    statements: Statements, auth: Auth[User], app: FastAPI, clock: FrozenClock, *, opened: bool
) -> None:
    """One read for a cookie or a token, however many guards; a write beside it once a minute (SES-4)."""

    @app.get("/many", dependencies=[Depends(auth.require(fresh=timedelta(minutes=10)))])
    async def many(
        user: Annotated[User, Depends(auth.current_user)],
        session: Annotated[Session, Depends(auth.current_session)],
        principal: Annotated[Principal, Depends(auth.principal)],
        optional: Annotated[User | None, Depends(auth.optional_user)],
    ) -> list[object]:
        return [user.username, session.user_id, principal.user_id, optional is not None]

    async def cost(path: str, headers: dict[str, str]) -> int:
        statements.clear()
        await browser.get(path, headers=headers)
        return len(statements)

    async with AsyncClient(transport=ASGITransport(app), base_url=ORIGIN) as browser:
        person = Person(0, "alice", "alice@example.com")
        body = {"username": "alice", "email": person.email, "password": person.password}
        assert (await browser.post("/auth/register", json=body)).status_code == 201
        token = bearer(await get_tokens(browser, person))
        cookie = {
            "cookie": f"__Host-session={(await log_in(browser, person)).cookies['__Host-session']}"
        }
        browser.cookies.clear()
        async with auth.lifespan() if opened else contextlib.nullcontext():
            for path in (
                "/user",
                "/optional",
                "/whose-session",
                "/posts",
                "/fresh",
                "/verified",
                "/many",
            ):
                assert await cost(path, token) == 1, (path, statements)
                assert await cost(path, cookie) == 1, (path, statements)
            assert await cost("/principal", cookie) == 1
            assert await cost("/principal", token) == 0
            assert (await browser.get("/many", headers=cookie)).json() == ["alice", 1, 1, True]
            for bad in ({}, {"authorization": "Bearer x"}, {"cookie": "__Host-session=x"}):
                assert await cost("/user", bad) == 0
            clock.move(timedelta(seconds=61))
            assert [await cost("/user", token), await cost("/user", token)] == [2, 1]
            assert [await cost("/user", cookie), await cost("/user", cookie)] == [2, 1]
            clock.move(timedelta(minutes=10))
            assert await cost("/user", token) == 0  # too old: known without the database
