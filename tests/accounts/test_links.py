"""Links in mails: good once, for one purpose, one person and one address, for a short time, and only the newest."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any, Final

import pytest
from httpx import AsyncClient

from piccolo_fastapi_auth import AuthSettings, User
from piccolo_fastapi_auth.one_time_tokens.tables import AuthOneTimeToken
from piccolo_fastapi_auth.primitives import opaque_tokens
from piccolo_fastapi_auth.testing import FrozenClock
from tests.accounts.helpers import KINDS, Kind, Post, World
from tests.fixtures import Browsers, Person, code_of, log_in

AT_ONCE: Final = 20
SECOND: Final = timedelta(seconds=1)
every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


@pytest.fixture
async def world(client: AsyncClient, new_browser: Browsers, alice: Person, post: Post) -> World:
    """Alice is signed in; her address is not proven."""
    await log_in(client, alice)
    return World(client, new_browser(), alice, post)


@every_kind
async def test_of_twenty_uses_at_once_one_succeeds(world: World, kind: Kind) -> None:
    """EML-1, RST-1: one statement decides, and the others are told the same as for any bad link."""
    token = await kind.token(world)

    answers = await asyncio.gather(*(kind.use(world, token) for _ in range(AT_ONCE)))

    counted = Counter(answer.status_code for answer in answers)
    assert counted[kind.good] == 1, counted
    assert {code_of(answer) for answer in answers if answer.status_code == 400} == {"invalid_link"}
    # The bearer's session may be gone by then: undo and reset end it.
    assert counted[kind.good] + counted[400] == AT_ONCE


@every_kind
async def test_a_link_is_good_once_and_until_its_end(
    world: World, kind: Kind, clock: FrozenClock, settings: AuthSettings
) -> None:
    """EML-1, RST-1: a second before its end it works, afterwards never again; at its end it does not."""
    lifetime: timedelta = getattr(settings, kind.lifetime)
    clock_at_issue = clock()
    token = await kind.token(world)
    clock.move(lifetime)
    late = await kind.use(world, token)
    clock.move(clock_at_issue + lifetime - SECOND - clock())

    in_time = await kind.use(world, token)
    again = await kind.use(world, token)

    assert (late.status_code, code_of(late)) == (400, "invalid_link")
    assert in_time.status_code == kind.good, in_time.text
    assert (again.status_code, code_of(again)) == (400, "invalid_link")


@every_kind
async def test_a_new_request_kills_the_old_link(world: World, kind: Kind) -> None:
    """EML-1, RST-1: also when twenty requests come at once, one link is good in the end."""
    first = await kind.token(world)
    second = await kind.token(world)

    assert first != second
    assert (await kind.use(world, first)).status_code == 400
    assert (await kind.use(world, second)).status_code == kind.good


@pytest.mark.parametrize("name", ["verify", "reset", "magic", "change"])
async def test_of_many_requests_at_once_one_link_is_good(world: World, name: str) -> None:
    """EML-5, RST-1: the requests of one person wait for each other."""
    kind, table = KINDS[name], AuthOneTimeToken

    await asyncio.gather(*(kind.ask(world) for _ in range(AT_ONCE)))
    await world.post.auth.outbox.drain()

    good = table.count().where(table.purpose == kind.purpose, table.used_at.is_null())
    assert await good == 1


@pytest.mark.parametrize("name", ["verify", "reset", "magic", "change"])
async def test_a_link_dies_when_the_address_changes(world: World, name: str) -> None:
    """EML-1: also when the address changes behind our back, in the application's own code."""
    kind = KINDS[name]
    token = await kind.token(world)
    await User.update({User.email: "elsewhere@example.com"}).where(User.id == world.alice.id)
    refused = await kind.use(world, token)
    await User.update({User.email: world.alice.email}).where(User.id == world.alice.id)
    assert (refused.status_code, code_of(refused)) == (400, "invalid_link")

    if name != "change":  # a change by our own route ends what is open, also for good
        await KINDS["change"].use(world, await KINDS["change"].token(world))
        await User.update({User.email: world.alice.email}).where(User.id == world.alice.id)
        assert (await kind.use(world, token)).status_code == 400


@pytest.mark.parametrize("name", ["reset", "magic", "change"])
async def test_a_new_password_kills_open_links(world: World, name: str) -> None:
    """RST-4: what a thief asked for before does not outlive the change."""
    kind = KINDS[name]
    token = await kind.token(world)
    body = {"current_password": world.alice.password, "new_password": "a goat in the scullery"}

    assert (await world.client.post("/auth/password/change", json=body)).status_code == 204

    assert (await kind.use(world, token)).status_code == 400


@every_kind
async def test_what_is_no_token_is_refused(world: World, kind: Kind) -> None:
    """RST-2: blank, null, missing, a list, another's shape; a row without a hash is never found."""
    token = await kind.token(world)
    unknown = opaque_tokens.new_token()
    bad: list[Any] = [
        "",
        " ",
        "\x00",
        None,
        [token],
        {"token": token},
        1,
        True,
        unknown,
        token.upper(),
        token + "=",
    ]
    bad += [token[:-1], f" {token}", "é" * 43]
    if kind.purpose == "invitation":
        bad.remove(None)  # no invitation at all is an open sign-up

    for one in bad:
        assert (await kind.use(world, one)).status_code in {400, 422}, one

    assert (await kind.use(world, token)).status_code == kind.good


async def test_a_link_is_good_for_its_own_purpose_only(world: World) -> None:
    """EML-1: every token at every other route, and the challenge of a log-in at all of them."""
    for name, kind in KINDS.items():
        token = await kind.token(world)
        for other_name, other in KINDS.items():
            if other_name != name and {name, other_name} != {"verify", "change"}:
                answer = await other.use(world, token)
                assert (answer.status_code, code_of(answer)) == (400, "invalid_link"), other_name
        mfa = {"mfa_token": token, "method": "totp", "code": "123456"}
        refused = await world.stranger.post("/auth/mfa/verify", json=mfa)
        assert code_of(refused) == "mfa_token_expired"
        if name == "undo":  # back to where the others begin
            assert (await kind.use(world, token)).status_code == kind.good
            await log_in(world.client, world.alice)


@every_kind
async def test_no_token_is_stored(world: World, kind: Kind) -> None:
    """RST-1, DESIGN.md 7.2: its digest is, and the address only where the purpose needs it."""
    token = await kind.token(world)

    rows = await AuthOneTimeToken.select()

    assert rows
    assert token not in str(rows)


@pytest.mark.parametrize("spoofed", [
    {"host": "evil.example"}, {"x-forwarded-host": "evil.example", "forwarded": "host=evil.example"},
    {"x-forwarded-proto": "http", "x-forwarded-port": "81", "x-original-url": "https://evil.example/"},
])  # fmt: skip
@pytest.mark.parametrize(
    "settings_changes", [{"trusted_proxies": ["127.0.0.0/8"]}], ids=["proxied"]
)
async def test_the_origin_of_links_never_moves(world: World, spoofed: dict[str, str]) -> None:
    """HST-1: whatever a request says of its host, also by way of a trusted proxy."""
    for name in ("verify", "reset", "magic"):
        path = {
            "verify": "/auth/email/verify/request",
            "reset": "/auth/password/forgot",
            "magic": "/auth/magic-link",
        }
        answer = await world.stranger.post(
            path[name], json={"email": world.alice.email}, headers=spoofed
        )
        assert answer.status_code == 202
        assert await world.post.token(world.alice.email, KINDS[name].purpose)

    for mail in await world.post.to(world.alice.email):
        assert "evil.example" not in str(mail)


@pytest.mark.parametrize("changes", [{"email_verification": "required"}, {"magic_links": True}])
async def test_without_an_origin_nothing_starts_that_needs_links(
    settings: AuthSettings, changes: dict[str, Any]
) -> None:
    """HST-1: a start-up error, not a link to wherever a request came from."""
    from piccolo_fastapi_auth import Auth  # noqa: PLC0415 - the name of the fixture is taken

    bare = settings.model_copy(update={"public_origin": None, "magic_links": False, **changes})

    with pytest.raises(ValueError, match="PUBLIC_ORIGIN"):
        Auth(bare)


async def test_a_second_change_does_not_take_the_way_back(world: World) -> None:
    """EML-4: a thief who moves the account twice cannot kill the link that its owner got."""
    undo = await KINDS["undo"].token(world)
    await world.ask("/auth/email/change", "thief@example.com")
    moved = {"token": await world.post.token("thief@example.com", "change_email")}
    assert (await world.client.post("/auth/email/verify", json=moved)).status_code == 204

    answer = await world.stranger.post("/auth/email/change/undo", json={"token": undo})

    assert answer.status_code == 204
    assert await User.exists().where(User.email == world.alice.email)
    assert (await world.client.get("/user")).status_code == 401
