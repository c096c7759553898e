"""API keys in many hands at once, on both databases."""

import asyncio
from datetime import timedelta

import pytest
from httpx import AsyncClient

from piccolo_fastapi_auth.api_keys.tables import AuthApiKey
from piccolo_fastapi_auth.testing import FrozenClock
from tests.api_keys.helpers import by_header, key_of, make_key, roll_over
from tests.fixtures import Person, code_of, log_in
from tests.test_statements import Statements, statements

__all__ = ["statements"]


@pytest.mark.parametrize("settings_changes", [{"max_api_keys": 7}])
async def test_the_quota_is_exact(client: AsyncClient, alice: Person) -> None:
    """API-5: five left and fifty asked for at once makes five; an expired or rolled-over key does not count."""
    await log_in(client, alice)
    first, _ = await make_key(client), await make_key(client)

    answers = await asyncio.gather(
        *(client.post("/auth/api-keys", json={"name": "x"}) for _ in range(50))
    )

    assert sorted(answer.status_code for answer in answers) == [201] * 5 + [409] * 45
    assert {code_of(one) for one in answers if one.status_code == 409} == {"too_many_keys"}
    assert (await client.delete(f"/auth/api-keys/{first['id']}")).status_code == 204
    await make_key(client)


async def test_a_key_gets_one_successor(client: AsyncClient, alice: Person) -> None:
    """Of twenty who roll over at once one does, three times over."""
    await log_in(client, alice)
    for _ in range(3):
        key = await make_key(client)
        answers = await asyncio.gather(*(roll_over(client, key["id"]) for _ in range(20)))
        assert sorted(answer.status_code for answer in answers) == [201] + [409] * 19
    assert await AuthApiKey.count() == 6


async def test_its_use_is_noted_at_most_once_a_minute(
    statements: Statements, client: AsyncClient, alice: Person, clock: FrozenClock
) -> None:
    """API-3: one statement a request, one write more a minute, however many requests come at once."""
    key = by_header(await key_of(client, alice))
    for path in ("/user", "/principal", "/posts", "/verified"):
        clock.move(timedelta(seconds=61))
        statements.clear()
        await client.get(path, headers=key)
        assert len(statements) == 2, (path, statements)
        statements.clear()
        await client.get(path, headers=key)
        assert len(statements) == 1, (path, statements)
        row = (await AuthApiKey.select(AuthApiKey.last_used_at))[0]
        assert row["last_used_at"] == clock()
    clock.move(timedelta(seconds=61))
    noted = clock()
    await asyncio.gather(*(client.get("/user", headers=key) for _ in range(20)))
    clock.move(timedelta(seconds=59))
    statements.clear()
    await client.get("/user", headers=key)
    assert len(statements) == 1
    assert (await AuthApiKey.select(AuthApiKey.last_used_at))[0]["last_used_at"] == noted


async def test_a_corrupted_key_costs_no_query(
    statements: Statements, client: AsyncClient, alice: Person
) -> None:
    """API-1: 401 with 0 queries for a checksum, a secret or an id with a typing error, in both headers."""
    key = await key_of(client, alice)
    wrong = [
        key[:-1] + ("0" if key[-1] != "0" else "1"),
        key[:-1],
        f"{key}0",
        "pfa_",
        "x",
        "pfa_x_y_z",
    ]
    wrong += [key[:at] + ("a" if key[at] != "a" else "b") + key[at + 1 :] for at in (4, 50)]
    statements.clear()

    for text in wrong:
        for headers in (by_header(text), {"Authorization": f"Bearer {text}"}):
            for path in ("/user", "/optional", "/principal"):
                answer = await client.get(path, headers=headers)
                assert (answer.status_code, code_of(answer)) == (401, "invalid_token"), text

    assert len(statements) == 0
