"""Piccolo API beside ours: its own tables, filled by its own code."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from piccolo.apps.user.tables import BaseUser
from piccolo.engine.base import Engine
from piccolo.table import create_db_tables

from piccolo_fastapi_auth.users.tables import AuthAccount
from tests.conftest import bind
from tests.fixtures import People, Person
from tests.moving.helpers import OLD_TABLES


@pytest.fixture
def sign_up(sign_up: People) -> People:
    """People on demand whose password is from before this library came, as that of everybody who is moved."""

    async def make(username: str) -> Person:
        person = await sign_up(username)
        await AuthAccount.update({AuthAccount.password_changed_at: None}).where(
            AuthAccount.user == person.id
        )
        return person

    return make


@pytest.fixture
async def old_tables(
    database: Engine[Any], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Engine[Any]]:
    """``sessions``, ``token_auth`` and ``authenticator_secret``, in the same database and empty."""
    # Eight recovery codes at Piccolo's cost take two seconds; the number is in each hash.
    monkeypatch.setattr(BaseUser, "_pbkdf2_iteration_count", 1000)
    with bind(database, [BaseUser, *OLD_TABLES]):
        await create_db_tables(*OLD_TABLES, if_not_exists=True)
        yield database
