"""Piccolo Admin in one application with ours, over one user table, driven by HTTP."""

from typing import Any, Final

import pytest
from fastapi import FastAPI
from httpx import AsyncClient, Response
from piccolo.engine.base import Engine
from piccolo.table import Table
from piccolo_admin.endpoints import create_admin
from piccolo_api.session_auth.tables import SessionsBase

from piccolo_fastapi_auth import Auth, User
from piccolo_fastapi_auth.api_keys import keys
from piccolo_fastapi_auth.mfa.tables import AuthMfaMethod, AuthRecoveryCode
from piccolo_fastapi_auth.piccolo_admin import AdminMfa, admin_tables, end_admin_sessions
from piccolo_fastapi_auth.sessions.tables import AuthSession
from piccolo_fastapi_auth.tables import TABLES
from piccolo_fastapi_auth.testing import FrozenClock
from tests.api_keys.helpers import make_key
from tests.fixtures import ORIGIN, PASSWORD, Browsers, People, Person, log_in, make_app
from tests.mfa.helpers import Phone, enrol

ADMIN: Final = "/admin"
SHOWN: Final[tuple[type[Table], ...]] = (User, *TABLES)


@pytest.fixture
def app(auth: Auth[User], old_tables: Engine[Any]) -> FastAPI:
    """The library's routes, and Piccolo Admin with all of its tables."""
    del old_tables
    app = make_app(auth)
    end_admin_sessions(auth)
    admin = create_admin(
        tables=[User, *admin_tables()],
        auth_table=User,
        production=True,
        mfa_providers=[AdminMfa(auth)],
        allowed_hosts=["app.test"],
        auto_include_related=False,
    )
    app.mount(ADMIN, admin)
    return app


@pytest.fixture
async def root(sign_up: People) -> Person:
    """Somebody who may do everything in Piccolo Admin."""
    person = await sign_up("root")
    await User.update({User.admin: True, User.superuser: True}).where(User.id == person.id)
    return person


async def open_admin(browser: AsyncClient, person: Person, **more: str) -> Response:
    """Log in at Piccolo Admin, as its page does: with the token against CSRF that a first visit gives."""
    await browser.get(f"{ADMIN}/public/meta/")
    csrf = browser.cookies.get("csrftoken") or ""
    return await browser.post(
        f"{ADMIN}/public/login/",
        json={"username": person.username, "password": person.password, **more},
        headers={"X-CSRFToken": csrf, "Referer": f"{ORIGIN}{ADMIN}/", "Origin": ORIGIN},
    )


async def test_both_log_in_side_by_side(
    client: AsyncClient, root: Person, auth: Auth[User]
) -> None:
    """Cookies and tables of the two have different names, and each knows only its own."""
    assert (await open_admin(client, root)).status_code == 200
    assert (await client.get("/user")).status_code == 401
    await log_in(client, root)

    assert (await client.get("/user")).status_code == 200
    assert (await client.get(f"{ADMIN}/api/user/")).json()["username"] == "root"
    assert {"id", "csrftoken", auth.settings.session_cookie} <= set(client.cookies)
    assert not {table._meta.tablename for table in TABLES} & {
        "sessions",
        "token_auth",
        "authenticator_secret",
    }
    await client.post("/auth/logout")
    assert (await client.get(f"{ADMIN}/api/user/")).status_code == 200


async def test_our_tables_are_listed_and_no_secret_is_in_any_answer(
    client: AsyncClient, new_browser: Browsers, root: Person, clock: FrozenClock
) -> None:
    """SES-2, CVE-2026-55485: rows, one by one and in lists, with joins; nothing of them can be presented."""
    browser = new_browser()
    await log_in(browser, root)
    phone = await enrol(browser, clock)
    key = (await make_key(browser))["key"]
    assert (await open_admin(client, root, mfa_code=phone.code())).status_code == 200
    listed = (await client.get(f"{ADMIN}/api/tables/")).json()
    assert {table._meta.tablename for table in TABLES} <= set(listed)

    answers: list[Response] = []
    for table in SHOWN:
        path = f"{ADMIN}/api/tables/{table._meta.tablename}/"
        answers += [await client.get(path), await client.get(f"{path}?__visible_fields=")]
        answers += [
            await client.get(f"{path}{part}/") for part in ("schema", "ids", "count", "new")
        ]
        answers += [await client.get(f"{path}?__readable=true")]
        for row in await table.select():
            answers.append(await client.get(f"{path}{row[table._meta.primary_key._meta.name]}/"))
        if any(column._meta.name == "user" for column in table._meta.columns):
            answers.append(await client.get(f"{path}?__visible_fields=user.username"))
            answers.append(await client.get(f"{path}?__visible_fields=user.password"))

    text = "\n".join(answer.text for answer in answers)
    assert len([answer for answer in answers if answer.status_code == 200]) > 5 * len(TABLES)
    assert [a.url for a in answers if a.status_code >= 500 and "new" not in str(a.url)] == []
    assert '"username":"root"' in text.replace(" ", "")
    secrets = {
        key,
        phone.secret,
        *phone.recovery_codes,
        *browser.cookies.values(),
    }
    # By name, so that a column which lost its mark is missed here.
    secrets |= {str(row["token_hash"]) for row in await AuthSession.select()}
    secrets |= {str(row["code_hash"]) for row in await AuthRecoveryCode.select()}
    secrets |= {str(row["state"]) for row in await AuthMfaMethod.select()}
    presented = keys.parse(key)
    assert presented is not None
    secrets.add(presented.secret_hash)
    for table in SHOWN:
        for row in await table.select():
            secrets |= {str(row[c._meta.name]) for c in table._meta.secret_columns}
    for secret in secrets - {"None", ""}:
        assert secret not in text


async def test_secret_columns_cannot_be_asked_about(client: AsyncClient, root: Person) -> None:
    """Neither by filter, match, order nor join; and nothing is written, not even by a superuser."""
    await log_in(client, root)
    await open_admin(client, root)
    path = f"{ADMIN}/api/tables/auth_session/"
    asked = [
        "token_hash=a", "token_hash__match=starts&token_hash=a", "__order=token_hash", "__order=-token_hash",
        "__visible_fields=id,token_hash", "refresh_salt__operator=lt&refresh_salt=a", "user.password=a",
        "__visible_fields=user.password",
    ]  # fmt: skip
    for query in asked:
        assert (await client.get(f"{path}?{query}")).status_code == 403, query
    assert (await client.get(f"{path}?user={root.id}&__order=-created_at")).status_code == 200

    csrf = {"X-CSRFToken": client.cookies["csrftoken"], "Referer": f"{ORIGIN}{ADMIN}/"}
    (row,) = (await client.get(path)).json()["rows"]
    for method, where in (
        ("POST", path),
        ("PATCH", f"{path}{row['id']}/"),
        ("DELETE", f"{path}{row['id']}/"),
    ):
        answer = await client.request(method, where, json={"user": root.id}, headers=csrf)
        assert answer.status_code == 405, answer.text


async def test_only_superusers_look(client: AsyncClient, root: Person) -> None:
    """Whoever may merely use Piccolo Admin does not see where others are signed in."""
    await User.update({User.superuser: False}).where(User.id == root.id)
    await open_admin(client, root)

    assert (await client.get(f"{ADMIN}/api/tables/auth_session/")).status_code == 403
    assert (await client.get(f"{ADMIN}/api/tables/piccolo_user/")).status_code == 200


async def test_a_new_password_ends_the_sessions_of_piccolo_admin(
    client: AsyncClient, new_browser: Browsers, root: Person, sign_up: People
) -> None:
    """Those of the person, and nobody else's."""
    other = await sign_up("other")
    await User.update({User.admin: True}).where(User.id == other.id)
    admin, others = new_browser(), new_browser()
    await open_admin(admin, root)
    await open_admin(others, other)
    assert await SessionsBase.count() == 2
    await log_in(client, root)
    body = {"current_password": PASSWORD, "new_password": "another horse in the pantry"}

    assert (await client.post("/auth/password/change", json=body)).status_code == 204

    assert (await admin.get(f"{ADMIN}/api/user/")).status_code == 401
    assert (await others.get(f"{ADMIN}/api/user/")).status_code == 200


async def test_piccolo_admin_asks_for_the_second_factor(
    client: AsyncClient, new_browser: Browsers, root: Person, clock: FrozenClock
) -> None:
    """MFA-1: the password alone opens nothing; a code of the app or a recovery code does, each once."""
    browser = new_browser()
    await log_in(browser, root)
    phone: Phone = await enrol(browser, clock)

    assert (await open_admin(client, root)).status_code == 401
    assert (await open_admin(client, root, mfa_code=phone.wrong())).status_code == 401
    for code in (phone.code(), phone.recovery_codes[0]):
        assert (await open_admin(client, root, mfa_code=code)).status_code == 200
        assert (await open_admin(client, root, mfa_code=code)).status_code == 401
    assert await AuthRecoveryCode.count().where(AuthRecoveryCode.used_at.is_not_null()) == 1


@pytest.mark.parametrize("settings_changes", [{"require_mfa": "admins"}], ids=["require_mfa"])
async def test_nobody_enters_without_the_second_factor_that_is_required(
    client: AsyncClient, new_browser: Browsers, root: Person, clock: FrozenClock
) -> None:
    """ASVS 6.3.3: an administrator who has none yet sets it up in the application, and then enters with it."""
    for more in ({}, {"mfa_code": "123456"}, {"mfa_code": "abc123-xyz789"}):
        assert (await open_admin(client, root, **more)).status_code == 401
    browser = new_browser()
    await log_in(browser, root)
    phone = await enrol(browser, clock)

    assert (await open_admin(client, root, mfa_code=phone.recovery_codes[0])).status_code == 200


@pytest.mark.parametrize("how", ["removed", "reset", "everywhere", "one"])
async def test_what_ends_all_of_our_sessions_ends_those_of_piccolo_admin(
    new_browser: Browsers,
    root: Person,
    clock: FrozenClock,
    auth: Auth[User],
    how: str,
) -> None:
    """A factor removed, by the person or by an operator; signed out everywhere. One session that ends is only one."""
    admin, client = new_browser(), new_browser()
    await log_in(client, root)
    phone = await enrol(client, clock)
    assert (await open_admin(admin, root, mfa_code=phone.recovery_codes[0])).status_code == 200

    if how == "removed":
        assert (await client.delete(f"/auth/mfa/{phone.id}")).status_code == 204
    elif how == "reset":
        await auth.mfa_flows.reset(root.id)
    elif how == "everywhere":
        await auth.sessions.end_others(root.id, but=None, reason="logout")
    else:
        assert (await client.post("/auth/logout")).status_code == 204

    expected = 200 if how == "one" else 401
    assert (await admin.get(f"{ADMIN}/api/user/")).status_code == expected
