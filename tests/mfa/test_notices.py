"""What people are told by mail when their second factors change."""

from collections.abc import Sequence
from typing import Any

import pytest
from httpx import AsyncClient
from piccolo.engine.base import Engine

from piccolo_fastapi_auth import Auth, AuthSettings, User
from piccolo_fastapi_auth.mail import MemoryMailer
from piccolo_fastapi_auth.mfa.tables import AuthMfaMethod
from piccolo_fastapi_auth.testing import FrozenClock, fast_hasher
from tests.fixtures import SCOPES, code_of
from tests.mfa.helpers import Phone, begin, confirm, enrol, log_in_with


@pytest.fixture
def mailer() -> MemoryMailer:
    """What was mailed."""
    return MemoryMailer()


@pytest.fixture
def auth(
    database: Engine[Any], settings: AuthSettings, clock: FrozenClock, mailer: MemoryMailer
) -> Auth[User]:
    """An ``Auth`` with a mailer."""
    del database
    return Auth(
        settings, user_table=User, mailer=mailer, clock=clock, hasher=fast_hasher(), scopes=SCOPES
    )


async def told(auth: Auth[User], mailer: MemoryMailer) -> list[str]:
    """What Alice was told since the last call, by the words that tell the mails apart."""
    await auth.outbox.drain()
    words = {"added": "added", "removed": "removed", "off": "switched off", "codes": "new recovery"}
    texts = []
    for mail in mailer.messages:
        body = mail.get_body(("plain",))
        assert body is not None
        assert str(mail["To"]) == "alice@example.com"
        texts.append(str(body.get_content()))
    mailer.messages.clear()
    return [name for text in texts for name, word in words.items() if word in text]


async def test_every_change_is_told(
    auth: Auth[User],
    client: AsyncClient,
    phone: Phone,
    mailer: MemoryMailer,
) -> None:
    """MFA-8: added, new codes, removed, reset by an operator: one mail each."""
    assert await told(auth, mailer) == ["added"]
    tablet = await enrol(client, phone.clock, name="Tablet")
    assert await told(auth, mailer) == ["added"]
    assert (await client.post("/auth/mfa/recovery-codes")).status_code == 200
    assert await told(auth, mailer) == ["codes"]
    assert (await client.delete(f"/auth/mfa/{tablet.id}")).status_code == 204
    assert await told(auth, mailer) == ["removed"]
    user = await User.objects().first()
    assert user is not None
    await auth.mfa_flows.reset(user.id)
    assert await told(auth, mailer) == ["removed"]


async def test_what_changed_nothing_is_not_told(
    auth: Auth[User], client: AsyncClient, phone: Phone, mailer: MemoryMailer
) -> None:
    """MFA-8: a begun enrolment, a wrong first code, a new name, a log-in: no mail."""
    await told(auth, mailer)
    begun = await begin(client, name="Tablet")
    assert code_of(await confirm(client, begun, phone.wrong())) == "invalid_code"
    await client.patch(f"/auth/mfa/{phone.id}", json={"name": "Old phone"})
    assert (await log_in_with(client, phone.code())).status_code == 200

    assert await told(auth, mailer) == []


async def test_a_method_that_is_switched_off_is_told_once(
    auth: Auth[User], stranger: AsyncClient, phone: Phone, mailer: MemoryMailer
) -> None:
    """MFA-5, MFA-8: at the hundredth wrong code, and not again at the next."""
    await told(auth, mailer)
    await AuthMfaMethod.update({AuthMfaMethod.failures: 98}, force=True)

    said = []
    for _ in range(4):
        await log_in_with(stranger, phone.wrong())
        said.append(await told(auth, mailer))

    assert said == [[], ["off"], [], []]


async def test_no_mail_holds_a_secret(
    auth: Auth[User], client: AsyncClient, phone: Phone, mailer: MemoryMailer
) -> None:
    """MFA-8: neither the secret, nor a code, nor a token is in any of them."""
    codes = (await client.post("/auth/mfa/recovery-codes")).json()["recovery_codes"]
    await auth.outbox.drain()
    secrets: Sequence[str] = [phone.secret, phone.code(), phone.code(-1), *phone.recovery_codes]

    text = "\n".join(mail.as_string() for mail in mailer.messages)

    assert len(mailer.messages) == 2
    assert [one for one in [*secrets, *codes, *client.cookies.values()] if one in text] == []
