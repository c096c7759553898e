"""Codes by e-mail: mailed for one flow, good once, not for long; a second step and no high assurance."""

import asyncio
import re
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import AsyncClient, Response
from piccolo.engine.base import Engine

from piccolo_fastapi_auth import Auth, AuthSettings, EmailCode, RecoveryCodes, Totp, User
from piccolo_fastapi_auth.mail import MemoryMailer
from piccolo_fastapi_auth.mfa.tables import AuthMfaMethod
from piccolo_fastapi_auth.testing import FrozenClock, fast_hasher, log_in_as
from tests.fixtures import (
    PASSWORD,
    SCOPES,
    Browsers,
    People,
    Person,
    bearer,
    code_of,
    log_in,
    make_app,
)
from tests.mfa.helpers import (
    PASSWORD_FORM,
    WINDOW,
    challenge,
    claims,
    enrol,
    log_in_with,
    prove_again,
    token_challenge,
    verify,
)

CODE = "email_code"
LIFE = timedelta(minutes=10)
HOUR = timedelta(hours=1)
counting = pytest.mark.parametrize("counts", [True], ids=["counts"])
unlimited = pytest.mark.parametrize(
    "settings_changes", [{"mail_limit_per_address": ""}], ids=["no mail limit"]
)


@pytest.fixture
def counts() -> bool:
    """Whether the application says that a code by mail is a second factor."""
    return False


@pytest.fixture
def mailer() -> MemoryMailer:
    """What was mailed."""
    return MemoryMailer()


@pytest.fixture
def auth(
    database: Engine[Any],
    settings: AuthSettings,
    clock: FrozenClock,
    mailer: MemoryMailer,
    *,
    counts: bool,
) -> Auth[User]:
    """An ``Auth`` that offers codes by mail first, and an authenticator app."""
    del database
    return Auth(
        settings,
        user_table=User,
        mfa=[EmailCode(counts_as_second_factor=counts), Totp(), RecoveryCodes()],
        mailer=mailer,
        clock=clock,
        hasher=fast_hasher(),
        scopes=SCOPES,
        scopes_of=lambda _: ["posts:read"],
    )


@pytest.fixture
def app(auth: Auth[User]) -> FastAPI:
    """Its application."""
    return make_app(auth)


class Mailbox:
    """Alice's mail."""

    def __init__(self, auth: Auth[User], mailer: MemoryMailer) -> None:
        self._auth = auth
        self._mailer = mailer

    async def codes(self, to: str = "alice@example.com") -> list[str]:
        """The codes that were mailed so far, oldest first."""
        await self._auth.outbox.drain()
        mails = [one for one in self._mailer.messages if str(one["To"]) == to]
        texts = [str(part.get_content()) for one in mails if (part := one.get_body(("plain",)))]
        return [
            found[1] for text in texts if (found := re.search(r"^(\d{6,})$", text, re.MULTILINE))
        ]

    async def newest(self) -> str:
        """The newest code."""
        return (await self.codes())[-1]


@pytest.fixture
def mailbox(auth: Auth[User], mailer: MemoryMailer) -> Mailbox:
    """Alice's mail."""
    return Mailbox(auth, mailer)


async def ask(client: AsyncClient, token: str, method: str = CODE) -> Response:
    """Have a code sent for a log-in."""
    body = {"mfa_token": token, "method": method}
    return await client.post("/auth/mfa/challenge", json=body)


async def ask_again(
    client: AsyncClient, method: str = CODE, headers: dict[str, str] | None = None
) -> Response:
    """Have a code sent for a renewed proof."""
    body = {"method": method}
    return await client.post("/auth/reauthenticate/challenge", json=body, headers=headers)


def other_than(code: str) -> str:
    """A wrong code."""
    return "000000" if code != "000000" else "111111"


@pytest.fixture
async def enrolled(client: AsyncClient, alice: Person, mailbox: Mailbox) -> dict[str, Any]:
    """Alice gets codes by mail; ``client`` is the browser in which she set it up."""
    await log_in(client, alice)
    begun = await client.post("/auth/mfa/email_code")
    assert begun.status_code == 201, begun.text
    assert set(begun.json()) == {"id", "sent_to"}
    body = {"id": begun.json()["id"], "code": await mailbox.newest()}
    answer = await client.post("/auth/mfa/email_code/confirm", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_it_is_set_up_with_a_code_that_is_mailed(
    client: AsyncClient, enrolled: dict[str, Any], mailbox: Mailbox
) -> None:
    """OTP-1: one mail, to the address of the account, which the list shows; it brings recovery codes as any first."""
    assert enrolled["method"]["method"] == CODE
    assert enrolled["method"]["name"] == "alice@example.com"
    assert len(enrolled["recovery_codes"]) == 10
    assert len(await mailbox.codes()) == 1
    overview = (await client.get("/auth/mfa")).json()
    assert overview["available"] == [CODE, "totp"]
    session = (await client.get("/auth/session")).json()["session"]
    assert session["methods"] == ["password", CODE]


async def test_a_log_in_asks_for_a_code_and_goes_on_with_it(
    new_browser: Browsers, enrolled: dict[str, Any], mailbox: Mailbox
) -> None:
    """XPT-1: nothing is mailed until somebody asks; then 202, and the log-in ends as it began, cookie or tokens."""
    assert enrolled
    browser = new_browser()
    token = await challenge(browser)
    assert len(await mailbox.codes()) == 1
    answer = await ask(browser, token)
    assert (answer.status_code, answer.json()) == (202, {"expires_in": 600})
    assert "no-store" in answer.headers["cache-control"]
    done = await verify(browser, token, await mailbox.newest(), CODE)
    assert done.json()["session"]["methods"] == ["password", CODE]

    bearer_token = await token_challenge(browser)
    assert (await ask(browser, bearer_token)).status_code == 202
    tokens = (await verify(browser, bearer_token, await mailbox.newest(), CODE)).json()

    assert claims(tokens)["amr"] == ["pwd", "otp"]
    assert (await new_browser().get("/user", headers=bearer(tokens))).status_code == 200


async def test_a_code_is_good_once_and_ten_minutes(
    enrolled: dict[str, Any], mailbox: Mailbox, auth: Auth[User]
) -> None:
    """OTP-1: no code works twice, nor at its last second and one more."""
    assert enrolled
    user = await User.objects().first()
    assert user is not None
    await auth.mfa_flows._sent.send(user.id, method=CODE, flow="f")
    await auth.mfa_flows._sent.send(user.id, method=CODE, flow="g")
    first, second = (await mailbox.codes())[-2:]
    assert isinstance(auth.clock, FrozenClock)

    auth.clock.move(LIFE - timedelta(seconds=1))
    good = [await auth.mfa.prove(user.id, method=CODE, code=first, flow="f") for _ in range(2)]
    auth.clock.move(timedelta(seconds=1))
    late = await auth.mfa.prove(user.id, method=CODE, code=second, flow="g")

    assert [*good, late] == [True, False, False]


async def test_a_code_belongs_to_the_challenge_that_asked(
    new_browser: Browsers, enrolled: dict[str, Any], mailbox: Mailbox
) -> None:
    """OTP-2: a code of one log-in is useless in another, though both are Alice's; and good in its own."""
    assert enrolled
    hers, other = new_browser(), new_browser()
    mine, theirs = await challenge(hers), await challenge(other)
    assert (await ask(other, theirs)).status_code == 202
    foreign = await mailbox.newest()
    assert (await ask(hers, mine)).status_code == 202
    own = await mailbox.newest()

    assert code_of(await verify(hers, mine, foreign, CODE)) == "invalid_code"
    assert code_of(await verify(other, theirs, own, CODE)) == "invalid_code"
    assert (await verify(hers, mine, own, CODE)).status_code == 200
    assert (await verify(other, theirs, foreign, CODE)).status_code == 200


async def test_a_code_of_a_log_in_renews_none_and_the_other_way_round(
    client: AsyncClient, new_browser: Browsers, enrolled: dict[str, Any], mailbox: Mailbox
) -> None:
    """OTP-2: nor does a code of one session renew another."""
    assert enrolled
    stranger = new_browser()
    token = await challenge(stranger)
    await ask(stranger, token)
    for_log_in = await mailbox.newest()
    assert (await ask_again(client)).status_code == 202
    for_proof = await mailbox.newest()

    assert code_of(await prove_again(client, for_log_in, CODE)) == "invalid_code"
    assert code_of(await verify(stranger, token, for_proof, CODE)) == "invalid_code"
    assert (await verify(stranger, token, for_log_in, CODE)).status_code == 200
    assert code_of(await prove_again(stranger, for_proof, CODE)) == "invalid_code"
    assert (await prove_again(client, for_proof, CODE)).status_code == 200


async def test_somebody_elses_code_is_useless(
    new_browser: Browsers, enrolled: dict[str, Any], sign_up: People, mailbox: Mailbox
) -> None:
    """OTP-2: a code that Mira had mailed to herself proves nothing about Alice, and confirms nothing of hers."""
    assert enrolled
    mira, browser = await sign_up("mira"), new_browser()
    await log_in(browser, mira)
    begun = (await browser.post("/auth/mfa/email_code")).json()
    foreign = (await mailbox.codes(mira.email))[-1]
    stranger = new_browser()
    token = await challenge(stranger)
    await ask(stranger, token)

    assert code_of(await verify(stranger, token, foreign, CODE)) == "invalid_code"
    wrong = {"id": begun["id"], "code": await mailbox.newest()}
    answer = await browser.post("/auth/mfa/email_code/confirm", json=wrong)
    assert code_of(answer) == "invalid_code"


async def test_a_new_code_ends_the_old_and_resets_no_counter(
    new_browser: Browsers, enrolled: dict[str, Any], mailbox: Mailbox
) -> None:
    """OTP-1: four wrong, a new code, one wrong: the challenge is over; asking itself uses up no try."""
    assert enrolled
    browser = new_browser()
    token = await challenge(browser)
    await ask(browser, token)
    old = await mailbox.newest()
    for _ in range(3):
        assert code_of(await verify(browser, token, other_than(old), CODE)) == "invalid_code"
    assert (await ask(browser, token)).status_code == 202
    new = await mailbox.newest()
    assert code_of(await verify(browser, token, old, CODE)) == "invalid_code"
    assert (await ask(browser, token)).status_code == 202
    new = await mailbox.newest()
    assert code_of(await verify(browser, token, other_than(new), CODE)) == "invalid_code"

    assert code_of(await verify(browser, token, new, CODE)) == "mfa_token_expired"
    assert code_of(await ask(browser, token)) == "mfa_token_expired"


async def test_twenty_times_one_code_logs_in_once(
    new_browser: Browsers, enrolled: dict[str, Any], mailbox: Mailbox, clock: FrozenClock
) -> None:
    """OTP-1: at once, on one challenge: five are compared at most."""
    assert enrolled
    browser = new_browser()
    for _ in range(5):
        token = await token_challenge(browser)
        assert (await ask(browser, token)).status_code == 202
        code = await mailbox.newest()

        answers = await asyncio.gather(*(verify(browser, token, code, CODE) for _ in range(20)))

        assert Counter(answer.status_code for answer in answers) == {200: 1, 401: 19}
        clock.move(HOUR)


@unlimited
async def test_parallel_requests_for_codes_leave_one_good(
    client: AsyncClient, enrolled: dict[str, Any], mailbox: Mailbox
) -> None:
    """OTP-1: of twenty mails for one flow one holds the code that counts."""
    assert enrolled
    answers = await asyncio.gather(*(ask_again(client) for _ in range(20)))
    assert {answer.status_code for answer in answers} <= {202, 503}
    codes = (await mailbox.codes())[1:]
    assert len(codes) == sum(answer.status_code == 202 for answer in answers) >= 1

    proven = [(await prove_again(client, code, CODE)).status_code for code in codes[-9:]]

    assert proven.count(200) <= 1


async def test_five_mails_an_hour_go_to_an_address(
    client: AsyncClient,
    new_browser: Browsers,
    enrolled: dict[str, Any],
    mailbox: Mailbox,
    clock: FrozenClock,
) -> None:
    """LCK-4: over log-ins, renewed proofs and enrolments; the last code stays good; Retry-After is enough."""
    assert enrolled
    browser = new_browser()
    token = await challenge(browser)
    assert [(await ask(browser, token)).status_code for _ in range(3)] == [202] * 3
    assert (await ask_again(client)).status_code == 202
    last = await mailbox.newest()

    refused = [await ask(browser, token), await ask_again(client)]
    refused.append(await client.post("/auth/mfa/email_code"))

    assert [(one.status_code, code_of(one)) for one in refused] == [(429, "rate_limited")] * 3
    assert len(await mailbox.codes()) == 5
    assert (await prove_again(client, last, CODE)).status_code == 200
    clock.move(timedelta(seconds=int(refused[1].headers["retry-after"])))
    assert (await ask_again(client)).status_code == 202


async def test_no_mail_for_who_did_not_set_it_up(
    client: AsyncClient, new_browser: Browsers, alice: Person, mailbox: Mailbox, clock: FrozenClock
) -> None:
    """404 for a method that the person has not, or that sends nothing; 401 without a challenge; nothing is mailed."""
    await log_in(client, alice)
    await enrol(client, clock)
    browser = new_browser()
    token = await challenge(browser)

    for method in (CODE, "totp", "recovery_code", "password", "nonsense"):
        assert code_of(await ask(browser, token, method)) == "not_found"
        assert code_of(await ask_again(client, method)) == "not_found"
    for dead in ("x" * 43, "", "nonsense"):
        assert code_of(await ask(browser, dead)) == "mfa_token_expired"
    assert code_of(await ask_again(new_browser())) == "not_authenticated"
    assert await mailbox.codes() == []


async def test_an_account_without_an_address_cannot_have_it(
    client: AsyncClient, alice: Person
) -> None:
    """409, and nothing is begun."""
    await log_in(client, alice)
    await User.update({User.email: ""}).where(User.id == alice.id)

    answer = await client.post("/auth/mfa/email_code")

    assert (answer.status_code, code_of(answer)) == (409, "no_address")
    assert await AuthMfaMethod.count() == 0


async def test_a_foreign_page_has_no_code_sent(
    client: AsyncClient, new_browser: Browsers, enrolled: dict[str, Any], mailbox: Mailbox
) -> None:
    """CSR-1: neither for a log-in nor in a session."""
    assert enrolled
    browser = new_browser()
    token = await challenge(browser)
    for one in (browser, client):
        one.headers["sec-fetch-site"] = "cross-site"

    assert code_of(await ask(browser, token)) == "csrf_failed"
    assert code_of(await ask_again(client)) == "csrf_failed"
    assert len(await mailbox.codes()) == 1


async def test_it_is_no_second_factor_where_assurance_must_be_high(
    client: AsyncClient, new_browser: Browsers, enrolled: dict[str, Any], mailbox: Mailbox
) -> None:
    """MFA-7: whoever has nothing else is told to enrol; a password alone still opens nothing."""
    assert enrolled
    refused = await client.get("/mfa")
    assert (refused.status_code, code_of(refused)) == (403, "mfa_enrolment_required")
    browser = new_browser()
    token = await token_challenge(browser)
    await ask(browser, token)
    tokens = (await verify(browser, token, await mailbox.newest(), CODE)).json()
    assert code_of(await browser.get("/mfa", headers=bearer(tokens))) == "mfa_enrolment_required"
    weak = await client.post("/auth/reauthenticate", json={"password": PASSWORD})
    assert (code_of(weak), weak.json()["detail"]["methods"]) == (
        "mfa_required",
        [CODE, "recovery_code"],
    )


@counting
async def test_the_application_may_say_that_it_counts(
    client: AsyncClient, new_browser: Browsers, enrolled: dict[str, Any], mailbox: Mailbox
) -> None:
    """MFA-7: then the session, ``amr`` and the guards agree."""
    assert enrolled
    assert (await client.get("/mfa")).status_code == 200
    browser = new_browser()
    token = await token_challenge(browser)
    await ask(browser, token)

    tokens = (await verify(browser, token, await mailbox.newest(), CODE)).json()

    assert claims(tokens)["amr"] == ["pwd", "otp", "mfa"]
    assert (await browser.get("/mfa", headers=bearer(tokens))).status_code == 200


@unlimited
async def test_it_stands_in_for_no_stronger_factor(
    client: AsyncClient,
    new_browser: Browsers,
    enrolled: dict[str, Any],
    mailbox: Mailbox,
    clock: FrozenClock,
) -> None:
    """SUD-1, MFA-8: beside an app it logs in, and neither renews, removes, adds nor deletes anything."""
    phone = await enrol(client, clock)
    browser = new_browser()
    token = await challenge(browser)
    await ask(browser, token)
    assert (await verify(browser, token, await mailbox.newest(), CODE)).status_code == 200
    strong = ["totp", "recovery_code"]

    refused = await browser.get("/mfa")
    assert (code_of(refused), refused.json()["detail"]["methods"]) == (
        "reauthentication_required",
        strong,
    )
    for path in (phone.id, enrolled["method"]["id"]):
        assert code_of(await browser.delete(f"/auth/mfa/{path}")) == "reauthentication_required"
    assert code_of(await browser.post("/auth/mfa/totp")) == "reauthentication_required"
    assert code_of(await browser.post("/auth/mfa/recovery-codes")) == "reauthentication_required"
    for one in (browser, client):
        assert (await ask_again(one)).status_code == 202
        proof = {"method": CODE, "code": await mailbox.newest()}
        weak = await one.post("/auth/reauthenticate", json=proof)
        assert (code_of(weak), weak.json()["detail"]["methods"]) == ("mfa_required", strong)
        assert code_of(await one.request("DELETE", "/auth/me", json=proof)) == "mfa_required"
    assert (await prove_again(browser, phone.code())).status_code == 200
    assert (await browser.get("/mfa")).status_code == 200


async def test_a_password_session_manages_no_codes_by_mail(
    auth: Auth[User], new_browser: Browsers, enrolled: dict[str, Any]
) -> None:
    """MFA-8: the weaker of two steps is a step too."""
    alice, browser = await User.objects().first(), new_browser()
    assert alice is not None
    await log_in_as(browser, alice, auth=auth)

    removed = await browser.delete(f"/auth/mfa/{enrolled['method']['id']}")

    assert code_of(removed) == "reauthentication_required"
    assert removed.json()["detail"]["methods"] == [CODE, "recovery_code"]


async def test_its_owner_manages_it_and_adds_an_app(
    client: AsyncClient,
    enrolled: dict[str, Any],
    clock: FrozenClock,
    alice: Person,
    new_browser: Browsers,
) -> None:
    """MFA-8: with what they have; with the last one gone the password alone logs in again."""
    phone = await enrol(client, clock)
    assert phone.recovery_codes == []
    for identifier in (phone.id, enrolled["method"]["id"]):
        removed = await client.delete(f"/auth/mfa/{identifier}")
        assert removed.status_code == 204, removed.text

    await log_in(new_browser(), alice)


async def test_the_account_is_deleted_with_a_code_of_the_session(
    client: AsyncClient, enrolled: dict[str, Any], mailbox: Mailbox
) -> None:
    """SUD-1: where it is the strongest there is."""
    assert enrolled
    assert (await ask_again(client)).status_code == 202
    proof = {"method": CODE, "code": await mailbox.newest()}

    assert (await client.request("DELETE", "/auth/me", json=proof)).status_code == 204


async def test_the_form_with_one_field_means_the_app(
    client: AsyncClient, new_browser: Browsers, enrolled: dict[str, Any], clock: FrozenClock
) -> None:
    """``mfa_code`` has no challenge to which a mailed code could belong: digits are the app's."""
    assert enrolled
    phone = await enrol(client, clock)

    answer = await new_browser().post(
        "/auth/token", data={**PASSWORD_FORM, "mfa_code": phone.code()}
    )

    assert claims(answer.json())["amr"] == ["pwd", "otp", "mfa"]


async def test_a_hundred_wrong_codes_disable_it(
    client: AsyncClient,
    new_browser: Browsers,
    enrolled: dict[str, Any],
    clock: FrozenClock,
    mailbox: Mailbox,
) -> None:
    """MFA-5: no more is mailed, the password alone does not log in, and paper does."""
    await AuthMfaMethod.update({AuthMfaMethod.failures: 99}, force=True)
    browser = new_browser()
    token = await challenge(browser)
    await ask(browser, token)
    code = await mailbox.newest()
    assert code_of(await verify(browser, token, other_than(code), CODE)) == "invalid_code"
    clock.move(WINDOW)

    body = {"username": "alice", "password": PASSWORD}
    detail = (await browser.post("/auth/login", json=body)).json()["detail"]
    assert (detail["code"], detail["methods"]) == ("mfa_required", ["recovery_code"])
    assert code_of(await ask(browser, detail["mfa_token"])) == "not_found"
    paper = await log_in_with(browser, enrolled["recovery_codes"][0], "recovery_code")
    assert paper.status_code == 200
    assert code_of(await ask_again(client)) == "not_found"


@pytest.mark.parametrize("settings_changes", [{"require_mfa": "everyone"}], ids=["everyone"])
async def test_it_does_not_satisfy_the_policy(
    client: AsyncClient, enrolled: dict[str, Any], clock: FrozenClock
) -> None:
    """MFA-6, MFA-7: who must use a second factor gets in as far as setting up one that counts."""
    assert enrolled
    assert code_of(await client.get("/user")) == "mfa_enrolment_required"

    await enrol(client, clock)

    assert (await client.get("/user")).status_code == 200


def test_a_code_has_six_digits_or_more() -> None:
    """OTP-1: a shorter one is refused at the start."""
    with pytest.raises(ValueError, match="6 digits"):
        EmailCode(digits=5)
