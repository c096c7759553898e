"""XPT-1: every way in, met with every state of an account: the same pipeline for all (active, verified, locked, second factor)."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import pytest
from httpx import Response

from piccolo_fastapi_auth import Auth, User
from piccolo_fastapi_auth.testing import FrozenClock
from piccolo_fastapi_auth.users.tables import AuthAccount
from tests.accounts.conftest import auth, mailer, post, settings
from tests.accounts.helpers import Post
from tests.fixtures import Browsers, Person, get_tokens, log_in
from tests.mfa.helpers import PASSWORD_FORM, credentials_in, enrol

__all__ = ["auth", "mailer", "post", "settings"]  # an ``Auth`` that mails into memory

NAMED: Final = {name: PASSWORD_FORM[name] for name in ("username", "password")}
CODE: Final = "000000"


@dataclass
class Scene:
    """What was got while all was well, and a browser that has nothing."""

    new_browser: Browsers
    alice: Person
    cookie: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    link: str = ""

    async def send(
        self, path: str, headers: dict[str, str] | None = None, **sent: object
    ) -> Response:
        """Send something from a browser that has nothing."""
        return await self.new_browser().post(path, headers=headers, **sent)  # type: ignore[arg-type] # what httpx takes


WAYS: Final[dict[str, Callable[[Scene], Awaitable[Response]]]] = {
    "login": lambda scene: scene.send("/auth/login", json=NAMED),
    "token": lambda scene: scene.send("/auth/token", data=PASSWORD_FORM),
    "token with a code": lambda scene: scene.send("/auth/token", data={**PASSWORD_FORM, "mfa_code": CODE}),
    "refresh": lambda scene: scene.send("/auth/refresh", json={"refresh_token": scene.tokens["refresh_token"]}),
    "reauthenticate": lambda scene: scene.send("/auth/reauthenticate", scene.cookie, json={"password": scene.alice.password}),
    # Last, for proving an unproven address ends what was there before.
    "link": lambda scene: scene.send("/auth/magic-link/login", json={"token": scene.link}),
}  # fmt: skip
ALL_WELL: Final = dict.fromkeys(WAYS, 200)
# State -> what each way answers. One that is not named answers as if all were well.
STATES: Final[dict[str, dict[str, int]]] = {
    "good": {},
    "closed": {"login": 401, "token": 400, "token with a code": 400, "link": 400, "refresh": 401, "reauthenticate": 401},
    "deleted": {"login": 401, "token": 400, "token with a code": 400, "link": 400, "refresh": 401, "reauthenticate": 401},
    # The link proves the address; a session that is there stays.
    "unverified": {"login": 403, "token": 403, "token with a code": 403},
    # A lock is against guessing: what cannot be guessed gets through.
    "locked": {"login": 429, "token": 429, "token with a code": 429, "reauthenticate": 429},
    "enrolled": {"login": 401, "token": 403, "token with a code": 400, "link": 401, "refresh": 401, "reauthenticate": 401},
}  # fmt: skip


async def bring_about(scene: Scene, state: str, clock: FrozenClock) -> None:
    """Change the account."""
    alice = User.id == scene.alice.id
    if state == "closed":
        await User.update({User.active: False}).where(alice)
    elif state == "deleted":
        await User.delete().where(alice)
    elif state == "unverified":
        mine = AuthAccount.user == scene.alice.id
        await AuthAccount.update({AuthAccount.verified_email: None}).where(mine)
    elif state == "locked":
        for _ in range(5):
            await scene.send("/auth/login", json={**NAMED, "password": "wrong"})
    elif state == "enrolled":
        client = scene.new_browser()
        await log_in(client, scene.alice)
        await enrol(client, clock)


LIMITED: Final = {"login_limit_per_account": "5/5 minutes", "email_verification": "required"}


@pytest.fixture
async def scene(auth: Auth[User], new_browser: Browsers, post: Post) -> Scene:
    """A person whose address is proven, with a cookie, tokens and a link in hand."""
    password = NAMED["password"]
    more = {"first_name": "Alice"}
    email = "alice@example.com"
    key = await auth.operators.create(username="alice", email=email, password=password, more=more)
    proven = AuthAccount.update({AuthAccount.verified_email: email})
    await proven.where(AuthAccount.user == key)
    alice = Person(int(str(key)), "alice", email, password)
    client = new_browser()
    await log_in(client, alice)
    cookie = {"Cookie": f"__Host-session={client.cookies['__Host-session']}"}
    tokens = await get_tokens(new_browser(), alice)
    await new_browser().post("/auth/magic-link", json={"email": email})
    return Scene(new_browser, alice, cookie, tokens, await post.token(email, "magic_link"))


@pytest.mark.parametrize("settings_changes", [LIMITED], ids=["limited"])
@pytest.mark.parametrize("state", STATES)
async def test_every_way_in_passes_the_same_pipeline(
    scene: Scene, clock: FrozenClock, state: str
) -> None:
    """XPT-1: nothing but what is written here for the state, and no credential with a refusal."""
    await bring_about(scene, state, clock)

    answers = {name: await way(scene) for name, way in WAYS.items()}

    given = {name: answer.status_code for name, answer in answers.items()}
    assert given == {**ALL_WELL, **STATES[state]}
    refused = [answer for answer in answers.values() if not answer.is_success]
    assert [credentials_in(answer) for answer in refused] == [[] for _ in refused]
