"""One refresh token in many hands, over two worker processes and PostgreSQL."""

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.fixtures import PASSWORD
from tests.processes import uvicorn_server


@pytest.mark.timeout(180)
@pytest.mark.parametrize("engine_kind", ["postgres"], indirect=True)
@pytest.mark.parametrize("grace", ["10", "0"], ids=["grace", "strict"])
def test_fifty_parallel_refreshes_have_one_successor_across_workers(
    database_url: str, tmp_path: Path, grace: str
) -> None:
    """RFT-2: 20 rounds; with grace all get the same, strictly exactly one gets it; a name is taken once."""
    environment = {
        "DATABASE_URL": database_url,
        "READING_LIST_SECRETS": str(tmp_path / "secrets"),
        "PICCOLO_AUTH_REFRESH_GRACE": grace,
    }
    with uvicorn_server("example_app.main:app", workers=2, env=environment) as url:
        sign_ups, rounds = asyncio.run(_races(url))

    assert sign_ups == [[201, 409, 409, 409]] * 5
    assert len(rounds) == 20
    for good in rounds:
        assert (len(good), len(set(good))) == ((50, 1) if grace == "10" else (1, 1))


async def _races(url: str) -> tuple[list[list[int]], list[list[str]]]:
    """Return the statuses of sign-ups at once with one name, and the successors that each round handed out."""
    limits = httpx.Limits(max_connections=50)
    async with httpx.AsyncClient(
        base_url=url, limits=limits, timeout=30, trust_env=False
    ) as client:
        sign_ups = [await _sign_up(client, number) for number in range(5)]
        return sign_ups, [await _refresh(client) for _ in range(20)]


async def _sign_up(client: httpx.AsyncClient, number: int) -> list[int]:
    """Four people want one name, each with an address of their own."""
    answers = await asyncio.gather(
        *(
            client.post(
                "/auth/register",
                json={"username": f"mira{number}", "email": f"m{number}.{n}@example.com", "password": PASSWORD},
            )
            for n in range(4)
        )
    )  # fmt: skip
    return sorted(answer.status_code for answer in answers)


async def _refresh(client: httpx.AsyncClient) -> list[str]:
    """Fifty requests bring one token."""
    form = {"grant_type": "password", "username": "mira0", "password": PASSWORD}
    tokens = (await client.post("/auth/token", data=form)).json()
    body = {"refresh_token": tokens["refresh_token"]}
    answers = await asyncio.gather(*(client.post("/auth/refresh", json=body) for _ in range(50)))
    return [a.json()["refresh_token"] for a in answers if a.status_code == 200]
