"""Two providers beside each other, and what a provider says of how somebody signed in."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient
from piccolo.engine.base import Engine

from piccolo_fastapi_auth import Auth, AuthSettings, ExternalIssuer, User
from piccolo_fastapi_auth.testing import FrozenClock, fast_hasher
from tests.external_issuer.helpers import AUDIENCE, Key, Site, serving
from tests.fixtures import ORIGIN, bearer, make_app

UserOf = Callable[[Mapping[str, object]], Any]
pytestmark = pytest.mark.parametrize(
    "engine_kind", ["sqlite"], indirect=True
)  # no statement of its own


@pytest.fixture
def sites() -> Iterator[tuple[Site, Site]]:
    """Two servers on this machine."""
    with serving() as one, serving() as other:
        yield one, other


def known_as(prefix: str) -> UserOf:
    """The people of one provider."""

    async def user_of(claims: Mapping[str, object]) -> User | None:
        return await User.objects().where(User.username == f"{prefix}-{claims['sub']}").first()

    return user_of


@pytest.fixture
async def auth(
    database: Engine[Any], sites: tuple[Site, Site], settings: AuthSettings, clock: FrozenClock
) -> Auth[User]:
    """An ``Auth`` that takes tokens of both, and one person of each."""
    del database
    backends = [
        ExternalIssuer(issuer=site.url, audience=AUDIENCE, user_of=known_as(name), clock=clock)
        for name, site in zip(("one", "other"), sites, strict=True)
    ]
    auth = Auth(settings, user_table=User, clock=clock, hasher=fast_hasher(), backends=backends)
    for name in ("one-alice", "other-alice"):
        await auth.operators.create(
            username=name, email=f"{name}@example.com", password="a horse in the pantry", more={}
        )
    return auth


async def see(auth: Auth[User], token: str) -> tuple[int, str]:
    """Who a token is, to a guard."""
    async with AsyncClient(transport=ASGITransport(make_app(auth)), base_url=ORIGIN) as client:
        answer = await client.get("/user", headers=bearer({"access_token": token}))
    return answer.status_code, answer.json().get("username", "")


async def test_a_provider_speaks_for_its_own_people_only(
    auth: Auth[User], sites: tuple[Site, Site], clock: FrozenClock
) -> None:
    """ASVS 6.8.1: one subject at two providers is two people, and neither signs for the other."""
    keys = Key(), Key()
    for site, key in zip(sites, keys, strict=True):
        site.publish(key)
    one, other = (site.claims(clock()) for site in sites)

    assert await see(auth, keys[0].sign(one)) == (200, "one-alice")
    assert await see(auth, keys[1].sign(other)) == (200, "other-alice")
    assert await see(auth, keys[0].sign(other)) == (401, "")
    assert await see(auth, keys[1].sign(one)) == (401, "")
    assert await see(auth, keys[1].sign(one, kid=keys[0].kid)) == (401, "")


@pytest.mark.parametrize("settings_changes", [{"require_mfa": "everyone"}], ids=["everyone"])
@pytest.mark.parametrize(
    ("amr", "status"),
    [(["pwd", "otp", "mfa"], 200), (["pwd"], 403), (["otp"], 403), ([], 403), (None, 403), ("mfa", 403)],
)  # fmt: skip
async def test_what_the_provider_says_of_factors_counts(
    auth: Auth[User], sites: tuple[Site, Site], clock: FrozenClock, amr: object, status: int
) -> None:
    """ASVS 6.8.4: where two factors are demanded a token must name them; what says nothing is one factor."""
    key = Key()
    sites[0].publish(key)

    assert (await see(auth, key.sign(sites[0].claims(clock(), amr=amr))))[0] == status
