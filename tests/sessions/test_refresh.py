"""Rotating refresh tokens (RFC 9700 section 4.14.2), over HTTP."""

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from httpx import AsyncClient

from piccolo_fastapi_auth.sessions.tables import AuthSession
from piccolo_fastapi_auth.testing import FrozenClock
from tests.fixtures import Person, bearer, code_of, get_tokens, log_in, refresh


async def test_a_refresh_gives_a_new_pair(client: AsyncClient, alice: Person) -> None:
    """The access token of the new pair works, and the refresh token is another one."""
    first = await get_tokens(client, alice)

    second = (await refresh(client, first["refresh_token"])).json()

    assert second["refresh_token"] != first["refresh_token"]
    assert (await client.get("/user", headers=bearer(second))).json() == {"username": "alice"}


async def test_within_the_grace_the_previous_token_gives_the_same_successor(
    client: AsyncClient, alice: Person, clock: FrozenClock
) -> None:
    """RFT-3, RFT-4: a lost answer or a second tab changes nothing."""
    first = await get_tokens(client, alice)
    answers = [(await refresh(client, first["refresh_token"])).json()]

    clock.move(timedelta(seconds=9.999))
    answers.append((await refresh(client, first["refresh_token"])).json())

    assert answers[0]["refresh_token"] == answers[1]["refresh_token"]
    assert (await refresh(client, answers[1]["refresh_token"])).status_code == 200


@pytest.mark.parametrize("first_delivered", [0, 1], ids=["in-order", "reversed"])
async def test_answers_may_arrive_in_any_order(
    client: AsyncClient, alice: Person, clock: FrozenClock, first_delivered: int
) -> None:
    """RFT-4: two tabs refresh at once into one jar; whichever answer lands last, both tabs go on from it."""
    jar = (await get_tokens(client, alice))["refresh_token"]
    for _ in range(3):
        answers = await asyncio.gather(*(refresh(client, jar) for _ in range(2)))
        order = (answers[first_delivered], answers[1 - first_delivered])
        for answer in order:
            assert answer.status_code == 200
            jar = answer.json()["refresh_token"]
        clock.move(timedelta(seconds=11))  # beyond the grace: only the newest is good now

    assert (await refresh(client, jar)).status_code == 200
    assert await AuthSession.count() == 1


async def test_one_old_token_in_many_hands_ends_its_session_only(
    client: AsyncClient, alice: Person, clock: FrozenClock
) -> None:
    """RFT-1: twenty at once, beside the owner's own refresh: the family is gone, the other device is not."""
    for _ in range(3):
        first, other = await get_tokens(client, alice), await get_tokens(client, alice)
        second = (await refresh(client, first["refresh_token"])).json()
        clock.move(timedelta(seconds=10))

        answers = await asyncio.gather(
            refresh(client, second["refresh_token"]),
            *(refresh(client, first["refresh_token"]) for _ in range(20)),
        )

        codes = {code_of(answer) for answer in answers[1:]}
        assert codes <= {"token_reused", "invalid_token"}
        assert "token_reused" in codes
        assert await AuthSession.count() == 1
        assert (await refresh(client, other["refresh_token"])).status_code == 200
        await AuthSession.delete(force=True)


async def test_reuse_after_the_grace_ends_that_session_and_no_other(
    client: AsyncClient, alice: Person, clock: FrozenClock
) -> None:
    """RFT-1: the family dies, other devices live."""
    first, other = await get_tokens(client, alice), await get_tokens(client, alice)
    second = (await refresh(client, first["refresh_token"])).json()
    clock.move(timedelta(seconds=10))

    answer = await refresh(client, first["refresh_token"])

    assert (answer.status_code, code_of(answer)) == (401, "token_reused")
    assert (await refresh(client, second["refresh_token"])).status_code == 401
    assert (await client.get("/user", headers=bearer(second))).status_code == 401
    assert (await client.get("/user", headers=bearer(other))).status_code == 200
    assert (await refresh(client, other["refresh_token"])).status_code == 200


async def test_only_the_immediately_previous_generation_has_grace(
    client: AsyncClient, alice: Person
) -> None:
    """RFT-5: R1 is reuse once R3 exists, however soon."""
    first = await get_tokens(client, alice)
    second = (await refresh(client, first["refresh_token"])).json()
    third = (await refresh(client, second["refresh_token"])).json()

    answer = await refresh(client, first["refresh_token"])

    assert code_of(answer) == "token_reused"
    assert (await refresh(client, third["refresh_token"])).status_code == 401


async def test_a_forged_token_ends_nothing(client: AsyncClient, alice: Person) -> None:
    """A stranger who knows a session's id cannot end it."""
    tokens = await get_tokens(client, alice)
    session_id, generation, mac = tokens["refresh_token"].split(".")
    wrong_mac = ("A" if mac[0] != "A" else "B") + mac[1:]

    for forged in (
        f"{session_id}.{generation}.{wrong_mac}",
        f"{session_id}.1.{mac}",
        f"{uuid4()}.{generation}.{mac}",
    ):
        answer = await refresh(client, forged)
        assert (answer.status_code, code_of(answer)) == (401, "invalid_token")

    assert (await refresh(client, tokens["refresh_token"])).status_code == 200


async def test_only_the_canonical_spelling_is_accepted(client: AsyncClient, alice: Person) -> None:
    """RFT-7: truncated, padded, upper-case and zero-led spellings are all invalid, and end nothing."""
    token = (await get_tokens(client, alice))["refresh_token"]
    session_id, generation, mac = token.split(".")
    spellings = [token[:-cut] for cut in range(1, 21)]
    spellings += [
        token + "=", f" {token}", token + "\n", token.upper(), f"{session_id}.0{generation}.{mac}",
        f"{session_id}.+{generation}.{mac}", f"{UUID(session_id).hex}.{generation}.{mac}",
        f"{session_id}.{generation}.{mac[:-1]}{_sibling(mac[-1])}", f"{token}.x", "", "..", "💥",
    ]  # fmt: skip

    for spelling in spellings:
        answer = await refresh(client, spelling)
        assert (answer.status_code, code_of(answer)) == (401, "invalid_token"), spelling

    assert (await refresh(client, token)).status_code == 200


def _sibling(character: str) -> str:
    """Another last character that decodes to the same bytes."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return alphabet[alphabet.index(character) ^ 1]


async def test_the_two_kinds_of_token_do_not_stand_for_each_other(
    client: AsyncClient, alice: Person
) -> None:
    """RFT-7, JWT-5: refresh as bearer, access at refresh, cookie as either: all refused."""
    tokens = await get_tokens(client, alice)
    cookie = (await log_in(client, alice)).cookies["__Host-session"]
    client.cookies.clear()

    for token in (tokens["refresh_token"], cookie):
        answer = await client.get("/user", headers={"Authorization": f"Bearer {token}"})
        assert (answer.status_code, code_of(answer)) == (401, "invalid_token")
    for token in (tokens["access_token"], cookie):
        assert code_of(await refresh(client, token)) == "invalid_token"
    for token in (tokens["access_token"], tokens["refresh_token"]):
        client.cookies.set("__Host-session", token)
        assert code_of(await client.get("/user")) == "invalid_token"
        client.cookies.clear()


async def test_the_absolute_life_survives_rotation(
    client: AsyncClient, alice: Person, clock: FrozenClock
) -> None:
    """RFT-6: thirty days after the log-in it is over, and no access token promises more."""
    tokens = await get_tokens(client, alice)
    for _ in range(29):
        clock.move(timedelta(days=1))
        tokens = (await refresh(client, tokens["refresh_token"])).json()
    clock.move(timedelta(days=1) - timedelta(minutes=1))

    tokens = (await refresh(client, tokens["refresh_token"])).json()

    assert int(tokens["expires_in"]) == 60
    clock.move(timedelta(minutes=1))
    assert (await refresh(client, tokens["refresh_token"])).status_code == 401
    assert (await client.get("/user", headers=bearer(tokens))).status_code == 401


async def test_an_unused_family_ends_after_the_idle_timeout(
    client: AsyncClient, alice: Person, clock: FrozenClock
) -> None:
    """SES-4 for refresh tokens."""
    tokens = await get_tokens(client, alice)
    clock.move(timedelta(days=7) - timedelta(seconds=1))
    tokens = (await refresh(client, tokens["refresh_token"])).json()

    clock.move(timedelta(days=7))

    assert (await refresh(client, tokens["refresh_token"])).status_code == 401


async def test_a_refresh_does_not_make_the_log_in_fresh(
    client: AsyncClient, alice: Person, clock: FrozenClock
) -> None:
    """SUD-2: freshness comes from the person, not from the token."""
    tokens = await get_tokens(client, alice)
    clock.move(timedelta(minutes=10, seconds=1))

    tokens = (await refresh(client, tokens["refresh_token"])).json()

    answer = await client.get("/fresh", headers=bearer(tokens))
    assert code_of(answer) == "reauthentication_required"


async def test_the_token_endpoint_refreshes_in_the_words_of_the_standard(
    client: AsyncClient, alice: Person, clock: FrozenClock
) -> None:
    """RFC 6749 section 6: the refresh grant, and invalid_grant for what is no good."""
    tokens = await get_tokens(client, alice)
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}

    answer = await client.post("/auth/token", data=form)
    clock.move(timedelta(seconds=11))
    refused = await client.post("/auth/token", data=form)

    assert answer.status_code == 200
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")


async def test_a_token_of_a_restored_table_is_unknown_and_ends_nothing(
    client: AsyncClient, alice: Person
) -> None:
    """A generation above the table's is a back-up played in, not a theft."""
    first = await get_tokens(client, alice)
    second = (await refresh(client, first["refresh_token"])).json()
    await AuthSession.update({AuthSession.generation: 0}, force=True)

    answer = await refresh(client, second["refresh_token"])

    assert code_of(answer) == "invalid_token"
    assert (await refresh(client, first["refresh_token"])).status_code == 200


@pytest.mark.parametrize("settings_changes", [{"refresh_grace": 0}], ids=["strict"])
async def test_strict_mode_has_no_grace(client: AsyncClient, alice: Person) -> None:
    """With a grace of zero the second use is reuse at once."""
    first = await get_tokens(client, alice)
    await refresh(client, first["refresh_token"])

    assert code_of(await refresh(client, first["refresh_token"])) == "token_reused"
