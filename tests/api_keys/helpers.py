"""A person who makes API keys."""

from typing import Any

from httpx import AsyncClient, Response

from tests.fixtures import Person, log_in


async def make_key(client: AsyncClient, **changes: Any) -> dict[str, Any]:
    """Make a key in the client's session; return what is shown once."""
    answer = await client.post(
        "/auth/api-keys", json={"name": "robot", "scopes": ["posts:read"], **changes}
    )
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def key_of(client: AsyncClient, person: Person, **changes: Any) -> str:
    """Log somebody in, make a key, and forget the cookie."""
    await log_in(client, person)
    key = str((await make_key(client, **changes))["key"])
    client.cookies.clear()
    return key


def by_header(key: str) -> dict[str, str]:
    """The header of its own that carries a key."""
    return {"X-API-Key": key}


async def roll_over(client: AsyncClient, key_id: str, **body: int) -> Response:
    """Ask for a successor."""
    return await client.post(f"/auth/api-keys/{key_id}/rollover", json=body)
