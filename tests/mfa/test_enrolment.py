"""Second factors are set up, listed, renamed and removed."""

import re
from datetime import timedelta
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import uuid4

import zxingcpp
from httpx import AsyncClient

from piccolo_fastapi_auth import Auth, User
from piccolo_fastapi_auth.mfa.tables import AuthMfaMethod, AuthRecoveryCode
from piccolo_fastapi_auth.sessions.tables import AuthSession
from piccolo_fastapi_auth.testing import FrozenClock, log_in_as
from tests.fixtures import (
    Browsers,
    People,
    Person,
    bearer,
    code_of,
    get_tokens,
    log_in,
    refresh,
)
from tests.mfa.helpers import Phone, begin, code_at, confirm, enrol, log_in_with

STALE = timedelta(minutes=10, seconds=1)


def scanned(svg: str) -> str:
    """What a phone's camera reads from a QR code that was drawn as horizontal strokes."""
    width, scale = int(re.findall(r'width="(\d+)"', svg)[0]), 4
    pixels = bytearray(b"\xff" * width * width)
    x = y = 0
    path = re.findall(r' d="([^"]+)"', svg)[0]
    for command, numbers in re.findall(r"([Mmh])([^Mmh]+)", path):
        steps = [float(number) for number in re.findall(r"-?[\d.]+", numbers)]
        if command == "h":
            for row in range(y * scale, (y + 1) * scale):
                start, length = row * width + x * scale, int(steps[0]) * scale
                pixels[start : start + length] = bytes(length)
            x += int(steps[0])
        elif command == "M":
            x, y = int(steps[0]), int(steps[1])
        else:
            x, y = x + int(steps[0]), y + int(steps[1])
    found = zxingcpp.read_barcode(memoryview(pixels).cast("B", shape=[width, width]))
    assert found is not None
    return str(found.text)


async def test_the_qr_code_holds_the_uri_of_the_app(client: AsyncClient, alice: Person) -> None:
    """TOTP-5: decoded back it is the URI; account, issuer and 160 bits of secret are in it."""
    await log_in(client, alice)

    begun = await begin(client)

    assert scanned(begun["qr_svg"]) == begun["otpauth_uri"]
    uri = urlsplit(begun["otpauth_uri"])
    assert (uri.scheme, uri.netloc) == ("otpauth", "totp")
    assert unquote(uri.path) == "/piccolo-fastapi-auth:alice"
    query = parse_qs(uri.query)
    assert query["secret"] == [begun["secret"]]
    assert query["issuer"] == ["piccolo-fastapi-auth"]
    assert re.fullmatch(r"[A-Z2-7]{32}", begun["secret"])


async def test_an_unconfirmed_enrolment_gates_nothing_and_satisfies_nothing(
    client: AsyncClient, new_browser: Browsers, alice: Person, clock: FrozenClock
) -> None:
    """TOTP-5: the password alone still logs in, and a code from the unconfirmed secret proves nothing."""
    await log_in(client, alice)
    begun = await begin(client)
    code = code_at(begun["secret"], clock())

    await log_in(new_browser(), alice)

    proof = {"method": "totp", "code": code}
    assert code_of(await client.post("/auth/reauthenticate", json=proof)) == "invalid_code"
    assert code_of(await client.get("/mfa")) == "mfa_enrolment_required"
    overview = (await client.get("/auth/mfa")).json()
    assert (overview["methods"], overview["recovery_codes_left"]) == ([], 0)
    assert (await confirm(client, begun, code)).status_code == 200


async def test_beginning_again_kills_the_old_secret(
    client: AsyncClient, alice: Person, clock: FrozenClock
) -> None:
    """TOTP-5: only the newest unconfirmed secret can be confirmed, and only by its own code."""
    await log_in(client, alice)
    first, second = await begin(client), await begin(client)
    assert first["secret"] != second["secret"]

    old = await confirm(client, first, code_at(first["secret"], clock()))
    mixed = await confirm(client, second, code_at(first["secret"], clock()))

    assert [code_of(old), code_of(mixed)] == ["not_found", "invalid_code"]
    assert (await confirm(client, second, code_at(second["secret"], clock()))).status_code == 200
    assert await AuthMfaMethod.count() == 1


async def test_a_confirming_code_is_used_up(
    stranger: AsyncClient, phone: Phone, client: AsyncClient, clock: FrozenClock
) -> None:
    """TOTP-1: the code that activated the app does not log in; nor is an enrolment confirmed twice."""
    used = phone.code(-1)

    assert code_of(await log_in_with(stranger, used)) == "invalid_code"
    again = await confirm(client, {"id": phone.id}, phone.code())
    assert code_of(again) == "not_found"
    clock.move(timedelta(minutes=1))
    assert (await log_in_with(stranger, phone.code())).status_code == 200


async def test_no_route_shows_the_secret_again(client: AsyncClient, phone: Phone) -> None:
    """TOTP-5: the list, a rename and a removal name the device and nothing of its state."""
    answers = [
        await client.get("/auth/mfa"),
        await client.patch(f"/auth/mfa/{phone.id}", json={"name": "Old phone"}),
        await client.get("/auth/session"),
        await client.get("/auth/sessions"),
        await client.delete(f"/auth/mfa/{phone.id}"),
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 204]
    for answer in answers:
        assert phone.secret not in answer.text
        assert "state" not in answer.text
        assert answer.headers["cache-control"] == "no-store"


async def test_the_first_factor_ends_every_other_session(
    client: AsyncClient, new_browser: Browsers, alice: Person, clock: FrozenClock
) -> None:
    """MFA-8: cookies and tokens alike; the session that enrolled goes on, with two factors."""
    other = new_browser()
    await log_in(other, alice)
    tokens = await get_tokens(new_browser(), alice)
    await log_in(client, alice)

    await enrol(client, clock)

    assert code_of(await other.get("/user")) == "session_expired"
    assert code_of(await new_browser().get("/user", headers=bearer(tokens))) == "session_expired"
    assert code_of(await refresh(new_browser(), tokens["refresh_token"])) == "invalid_token"
    session = (await client.get("/auth/session")).json()["session"]
    assert session["methods"] == ["password", "totp"]
    assert await AuthSession.count() == 1


async def test_a_person_has_several_devices_with_names(
    client: AsyncClient, stranger: AsyncClient, phone: Phone, clock: FrozenClock
) -> None:
    """Each logs in by itself, newest first in the list; a new name is one that people can read."""
    tablet = await enrol(client, clock, name="Tablet")
    for device in (phone, tablet):
        assert (await log_in_with(stranger, device.code())).status_code == 200

    renamed = await client.patch(f"/auth/mfa/{phone.id}", json={"name": "Old phone"})
    refused = [
        await client.patch(f"/auth/mfa/{phone.id}", json={"name": name})
        for name in ("", " x", "a\nb", "x" * 101, "\x00", 5)
    ]

    assert renamed.json()["name"] == "Old phone"
    assert {answer.status_code for answer in refused} == {422}
    methods = (await client.get("/auth/mfa")).json()["methods"]
    assert [(one["method"], one["name"]) for one in methods] == [
        ("totp", "Tablet"),
        ("totp", "Old phone"),
    ]
    assert all(one["last_used_at"] for one in methods)


async def test_somebody_elses_device_is_not_found(
    client: AsyncClient, new_browser: Browsers, phone: Phone, sign_up: People, clock: FrozenClock
) -> None:
    """AUZ-2: the answer is that of a device which does not exist, and nothing changes."""
    mira = new_browser()
    await log_in(mira, await sign_up("mira"))
    await enrol(mira, clock)
    for identifier in (phone.id, str(uuid4())):
        path = f"/auth/mfa/{identifier}"
        proof = {"id": identifier, "code": phone.code()}
        answers = [
            await mira.delete(path),
            await mira.patch(path, json={"name": "Mine"}),
            await mira.post("/auth/mfa/totp/confirm", json=proof),
        ]
        assert [code_of(answer) for answer in answers] == ["not_found"] * 3

    waiting = await begin(client)
    stolen = await confirm(mira, waiting, code_at(waiting["secret"], clock()))
    assert code_of(stolen) == "not_found"
    confirmed = AuthMfaMethod.confirmed_at.is_not_null()
    assert await AuthMfaMethod.count().where(confirmed) == 2
    assert not await AuthMfaMethod.exists().where(AuthMfaMethod.name == "Mine")


async def test_removing_a_device_ends_its_codes_and_the_other_sessions(
    client: AsyncClient, stranger: AsyncClient, phone: Phone, clock: FrozenClock
) -> None:
    """MFA-8: the other device and the recovery codes stay."""
    tablet = await enrol(client, clock, name="Tablet")
    assert (await log_in_with(stranger, tablet.code())).status_code == 200

    assert (await client.delete(f"/auth/mfa/{phone.id}")).status_code == 204

    assert code_of(await stranger.get("/user")) == "session_expired"
    stranger.cookies.clear()
    assert code_of(await log_in_with(stranger, phone.code())) == "invalid_code"
    assert (await log_in_with(stranger, tablet.code(1))).status_code == 401
    answer = await log_in_with(stranger, phone.recovery_codes[0], "recovery_code")
    assert answer.status_code == 200


async def test_removing_the_last_device_removes_the_recovery_codes(
    client: AsyncClient, new_browser: Browsers, phone: Phone, alice: Person
) -> None:
    """After that the password alone logs in, and no old code proves anything."""
    assert (await client.delete(f"/auth/mfa/{phone.id}")).status_code == 204

    assert await AuthRecoveryCode.count() == 0
    browser = new_browser()
    await log_in(browser, alice)
    proof = {"method": "recovery_code", "code": phone.recovery_codes[0]}
    assert code_of(await browser.post("/auth/reauthenticate", json=proof)) == "invalid_code"
    assert code_of(await client.delete(f"/auth/mfa/{phone.id}")) == "not_found"


async def _manage(client: AsyncClient, phone: Phone) -> list[str]:
    """Try everything that changes second factors; return the refusals."""
    path = f"/auth/mfa/{phone.id}"
    confirming = {"id": str(uuid4()), "code": phone.code()}
    answers = [
        await client.post("/auth/mfa/totp", json={"name": "Mine"}),
        await client.post("/auth/mfa/totp/confirm", json=confirming),
        await client.patch(path, json={"name": "Mine"}),
        await client.post("/auth/mfa/recovery-codes"),
        await client.delete(path),
    ]
    return [code_of(answer) for answer in answers]


async def test_a_stale_log_in_manages_no_factors(
    client: AsyncClient, phone: Phone, clock: FrozenClock
) -> None:
    """MFA-8, SUD-1: every change needs a fresh log-in; listing does not. Nothing changed."""
    clock.move(STALE)
    before = await AuthMfaMethod.select(), await AuthRecoveryCode.count()

    assert await _manage(client, phone) == ["reauthentication_required"] * 5

    assert (await client.get("/auth/mfa")).status_code == 200
    assert (await AuthMfaMethod.select(), await AuthRecoveryCode.count()) == before


async def test_a_password_log_in_manages_no_factors_of_who_has_one(
    auth: Auth[User], stranger: AsyncClient, phone: Phone
) -> None:
    """MFA-8: fresh is not enough, the session must have shown the second factor."""
    alice = await User.objects().first()
    assert alice is not None
    await log_in_as(stranger, alice, auth=auth)

    assert await _manage(stranger, phone) == ["reauthentication_required"] * 5


async def test_nobody_manages_factors_without_a_log_in(stranger: AsyncClient, phone: Phone) -> None:
    """No credential, or one that is not good."""
    for cookie, code in ((None, "not_authenticated"), ("x" * 43, "invalid_token")):
        if cookie:
            stranger.cookies.set("__Host-session", cookie)
        refusals = [*await _manage(stranger, phone), code_of(await stranger.get("/auth/mfa"))]
        assert refusals == [code] * 6


async def test_twenty_enrolments_are_enough(client: AsyncClient, phone: Phone) -> None:
    """Beyond that 409; a person has no use for more, and each costs work at a log-in."""
    row = await AuthMfaMethod.select().first()
    assert row is not None
    copies = [AuthMfaMethod(**{**row, "id": uuid4()}) for _ in range(19)]
    await AuthMfaMethod.insert(*copies)

    answer = await client.post("/auth/mfa/totp")

    assert (answer.status_code, code_of(answer)) == (409, "already_enrolled")
    assert phone.secret not in answer.text
