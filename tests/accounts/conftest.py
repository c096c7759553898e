"""An ``Auth`` that mails into memory, with every flow on."""

from typing import Any

import pytest
from piccolo.engine.base import Engine

from piccolo_fastapi_auth import Auth, AuthSettings, User
from piccolo_fastapi_auth.mail import MemoryMailer
from piccolo_fastapi_auth.testing import FrozenClock, fast_hasher
from tests.accounts.helpers import Post
from tests.fixtures import ORIGIN, SCOPES, SECRET


@pytest.fixture
def settings(settings_changes: dict[str, Any]) -> AuthSettings:
    """Links can be made, and log in; limits are on only where a test wants them."""
    chosen = {
        "secret_keys": [SECRET], "hash_concurrency": 2, "public_origin": ORIGIN, "magic_links": True,
        "login_limit_per_ip": "", "login_limit_per_account": "", "mail_limit_per_address": "",
    }  # fmt: skip
    return AuthSettings(**{**chosen, **settings_changes})


@pytest.fixture
def mailer() -> MemoryMailer:
    """Where mails go."""
    return MemoryMailer()


@pytest.fixture
def auth(
    database: Engine[Any], settings: AuthSettings, clock: FrozenClock, mailer: MemoryMailer
) -> Auth[User]:
    """An ``Auth`` over an empty database; everybody has the scope ``posts:read``."""
    del database
    return Auth(
        settings,
        user_table=User,
        clock=clock,
        hasher=fast_hasher(),
        scopes=SCOPES,
        scopes_of=lambda _: ["posts:read"],
        mailer=mailer,
    )


@pytest.fixture
def post(auth: Auth[User], mailer: MemoryMailer) -> Post:
    """The mails of everybody."""
    return Post(auth, mailer)
