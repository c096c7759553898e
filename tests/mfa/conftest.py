"""Alice has an authenticator app."""

import pytest
from httpx import AsyncClient

from piccolo_fastapi_auth.testing import FrozenClock
from tests.fixtures import Browsers, Person, log_in
from tests.mfa.helpers import Phone, enrol


@pytest.fixture
async def phone(client: AsyncClient, alice: Person, clock: FrozenClock) -> Phone:
    """Alice's phone. ``client`` is the browser in which she set it up: signed in, fresh, with two factors."""
    await log_in(client, alice)
    return await enrol(client, clock)


@pytest.fixture
async def stranger(new_browser: Browsers, phone: Phone) -> AsyncClient:
    """Another browser, with no credential, after Alice got her second factor."""
    del phone
    return new_browser()
