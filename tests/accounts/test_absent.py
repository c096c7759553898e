"""What there is not: people nobody made, passwords that age, hints; and no change of a password unseen."""

import json
import re
from datetime import timedelta

from fastapi import FastAPI
from httpx import AsyncClient
from piccolo.table import Table

from piccolo_fastapi_auth import Auth, User
from piccolo_fastapi_auth.tables import TABLES
from piccolo_fastapi_auth.testing import FrozenClock
from tests.accounts.helpers import NEW_PASSWORD, Post
from tests.fixtures import PASSWORD, Person, log_in


async def test_nobody_is_there_before_the_first_sign_up(auth: Auth[User]) -> None:
    """ASVS 6.3.2: tables are made empty, and starting the application makes nobody."""
    async with auth.lifespan():
        assert await User.count() == 0
    assert [await table.count() for table in TABLES] == [0] * len(TABLES)


async def test_a_password_does_not_age(
    client: AsyncClient, alice: Person, clock: FrozenClock
) -> None:
    """ASVS 6.2.10: it logs in after ten years as on the first day."""
    clock.move(timedelta(days=3650))

    await log_in(client, alice)
    assert (await client.get("/user")).status_code == 200


async def test_there_is_no_hint_and_no_secret_question(app: FastAPI) -> None:
    """ASVS 6.4.2: in no body, parameter, path or column."""
    tables: list[type[Table]] = [User, *TABLES]
    columns = {column._meta.name for table in tables for column in table._meta.columns}
    document = json.dumps(app.openapi())
    named = re.findall(r'"([\w/{}-]+)": |"name": "(\w+)"', document)
    words = columns | {one for pair in named for one in pair} - {"token_type_hint"}  # RFC 7009

    assert {"password", "username", "/auth/login", "session_id"} <= words
    assert [one for one in words if re.search("hint|question|answer|maiden", one.lower())] == []


async def test_a_changed_password_is_told(client: AsyncClient, alice: Person, post: Post) -> None:
    """RST-6, ASVS 6.3.7: a mail says so and holds neither password."""
    await log_in(client, alice)
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    assert (await client.post("/auth/password/change", json=body)).status_code == 204

    told = await post.to(alice.email)
    assert [str(mail["Subject"]) for mail in told] == ["Your password was changed"]
    assert not any(secret in str(told[0]) for secret in (PASSWORD, NEW_PASSWORD))
