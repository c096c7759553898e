"""Administrators, and people whom they look after."""

from collections.abc import Awaitable, Callable

import pytest
from httpx import AsyncClient

from piccolo_fastapi_auth import Auth, User
from piccolo_fastapi_auth.users.scopes import ADMIN, IMPERSONATE
from tests.fixtures import Browsers, People, Person, log_in

LogIn = Callable[[Person], Awaitable[AsyncClient]]


@pytest.fixture
async def admin(auth: Auth[User], sign_up: People) -> Person:
    """Somebody with a role that administers and may act as others; no superuser."""
    await auth.roles.define("staff", [ADMIN, IMPERSONATE])
    person = await sign_up("root")
    await auth.roles.grant(person.id, await auth.roles.named("staff"))
    return person


@pytest.fixture
def signed_in(new_browser: Browsers) -> LogIn:
    """A browser of its own for a person."""

    async def make(person: Person) -> AsyncClient:
        browser = new_browser()
        await log_in(browser, person)
        return browser

    return make
