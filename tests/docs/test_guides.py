"""The tutorial and the how-to pages, followed word for word in an empty folder."""

import json
import shlex
from pathlib import Path

import httpx
import pyotp
import pytest
from cryptography.fernet import Fernet

from tests.docs.pages import DOCS, README, Folder, blocks
from tests.docs.wheel import lend
from tests.fixtures import PASSWORD, SECRET

pytestmark = pytest.mark.timeout(180)  # each starts several processes

ACCOUNT = {"username": "mira", "email": "mira@example.com", "password": PASSWORD}


def test_the_tutorial(folder: Folder, wheel: Path) -> None:
    """From an empty folder, with the wheel: every file is written, every command typed, every line of Python runs."""
    code = blocks(DOCS / "tutorial.md")
    install, *typed = [block.text for block in code if block.language == "console"]
    making, pip, wanted = install.partition("pip install ")
    folder.typed(making)
    (environment,) = folder.path.glob("*/.venv")
    lend(environment, *shlex.split(wanted))
    folder = Folder(environment.parent, environment / "bin")
    # What pip is told beforehand: there is no index, and a folder that holds our wheel.
    folder.typed(f"export PIP_NO_INDEX=1 PIP_FIND_LINKS={wheel.parent}\n{pip}{wanted}")
    folder.write_files(code)
    typed.remove("uvicorn main:app\n")  # it is served below, on another port
    for script in typed:
        folder.typed(script)
    steps = "\n".join(
        block.text for block in code if block.language == "python" and not block.title
    )

    with folder.serve() as url:
        folder.python(steps.replace("http://127.0.0.1:8000", url))
    place = folder.python("import piccolo_fastapi_auth; print(piccolo_fastapi_auth.__file__)")

    assert len(steps.splitlines()) > 40
    assert Path(place).is_relative_to(environment)


def test_a_user_table_of_ones_own(folder: Folder) -> None:
    """A UUID key and one more column, through migrations, sign-up and profile."""
    code = blocks(DOCS / "how-to" / "custom-user-table.md")
    folder.write_files(code)
    for block in code:
        if block.language == "console":
            folder.shell(block.text)

    with folder.serve() as url, httpx.Client(base_url=url) as client:
        registered = client.post("/auth/register", json=ACCOUNT)
        form = {"grant_type": "password", "username": "mira", "password": PASSWORD}
        tokens = client.post("/auth/token", data=form).json()
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        changed = client.patch("/auth/me", json={"nickname": "Mi"}, headers=headers)
        hello = client.get("/hello", headers=headers)

    assert len(registered.json()["user"]["id"]) == 36
    assert changed.status_code == 200
    assert hello.json() == {"hello": "Mi"}


def test_the_tests_of_the_testing_page(folder: Folder) -> None:
    """They pass where the page says that they are."""
    folder.write_files(blocks(DOCS / "how-to" / "testing-your-app.md"))

    out = folder.shell("python -m pytest -q -p no:cacheprovider -p no:cov")

    assert "3 passed" in out


BEFORE = """
import asyncio
import json

import httpx
from main import app, auth


async def before():
    await auth.create_tables()
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="https://test") as client:
        account = {account}
        (await client.post("/auth/register", json=account)).raise_for_status()
        form = {{"grant_type": "password", **account}}
        tokens = (await client.post("/auth/token", data=form)).json()
        headers = {{"Authorization": "Bearer " + tokens["access_token"]}}
        enrolment = (await client.post("/auth/mfa/totp", headers=headers)).json()
    print(json.dumps({{**tokens, **enrolment}}))


asyncio.run(before())
"""

AFTER = """
import asyncio

import httpx
import pyotp
from fastapi import FastAPI

from piccolo_fastapi_auth import Auth, AuthSettings


def client_of(keys):
    auth, app = Auth(AuthSettings(secret_keys=keys)), FastAPI()
    app.include_router(auth.router)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://test")


async def after(known, old, new):
    headers = {{"Authorization": "Bearer " + known["access_token"]}}
    async with client_of([new, old]) as client:
        assert (await client.get("/auth/me", headers=headers)).status_code == 200
        body = {{"refresh_token": known["refresh_token"]}}
        tokens = (await client.post("/auth/refresh", json=body)).json()
    async with client_of([new]) as client:
        assert (await client.get("/auth/me", headers=headers)).status_code == 401
        headers = {{"Authorization": "Bearer " + tokens["access_token"]}}
        assert (await client.get("/auth/me", headers=headers)).status_code == 200
        code = pyotp.TOTP(known["secret"]).now()
        answer = await client.post(
            "/auth/mfa/totp/confirm", json={{"id": known["id"], "code": code}}, headers=headers
        )
        assert answer.status_code == 200, answer.text


asyncio.run(after({known}, {old!r}, {new!r}))
"""


def test_rotating_the_secret_key(folder: Folder) -> None:
    """With the new key first, tokens go on, authenticator secrets are sealed anew, the old key may go."""
    old, new = SECRET, SECRET[::-1]
    (seal_anew,) = [
        block.text
        for block in blocks(DOCS / "how-to" / "rotate-keys.md")
        if "rotate_encryption" in block.text
    ]
    folder.write_files(blocks(DOCS / "tutorial.md"))
    folder.write(".env", f"PICCOLO_AUTH_SECRET_KEYS={old}\n")
    known = json.loads(folder.python(BEFORE.format(account=ACCOUNT)))
    folder.write(".env", f"PICCOLO_AUTH_SECRET_KEYS={new},{old}\n")

    sealed = folder.shell(seal_anew)
    folder.python(AFTER.format(known=known, old=old, new=new))

    assert "1 rows" in sealed


OLD_APPLICATION = """
import asyncio
import json
from datetime import datetime, timedelta

import jwt
from piccolo.apps.user.tables import BaseUser
from piccolo.table import create_db_tables
from piccolo_api.encryption.providers import FernetProvider
from piccolo_api.mfa.authenticator.tables import AuthenticatorSecret
from piccolo_api.session_auth.tables import SessionsBase
from piccolo_api.token_auth.tables import TokenAuth


async def before():
    await create_db_tables(SessionsBase, TokenAuth, AuthenticatorSecret)
    mira = await BaseUser.create_user("mira", {password!r}, email="mira@x.test", active=True)
    otto = await BaseUser.create_user("otto", {password!r}, email="otto@x.test", active=True)
    soon = datetime.now() + timedelta(hours=12)
    session = await SessionsBase.create_session(mira.id, soon, soon)
    provider = FernetProvider({key!r})
    row, codes = await AuthenticatorSecret.create_new(mira.id, provider, recovery_code_count=1)
    claims = {{"user_id": otto.id, "exp": int(soon.timestamp())}}
    old = {{
        "cookie": session.token,
        "token": await TokenAuth.create_token(mira.id),
        "jwt": jwt.encode(claims, {secret!r}),
        "totp": provider.decrypt(row.secret),
        "code": codes[0],
    }}
    print(json.dumps(old))


asyncio.run(before())
"""


def test_coming_over_from_piccolo_api(folder: Folder) -> None:
    """Its own code fills its tables, the page's commands move them, and the page's application takes all of it."""
    code, key, jwt_secret = (
        blocks(DOCS / "how-to" / "import-from-piccolo-api.md"),
        Fernet.generate_key(),
        "a secret of long ago, and long enough",
    )
    folder.write_files(code)
    folder.write(".env", f"PICCOLO_AUTH_SECRET_KEYS={SECRET}\n")
    typed = [block.text for block in code if block.language == "console"]
    (migrate,) = [text for text in typed if "migrations" in text]
    dry_run, really = [text for text in typed if "import_piccolo_api" in text]
    folder.shell(migrate)
    program = OLD_APPLICATION.format(password=PASSWORD, key=key, secret=jwt_secret)
    old = json.loads(folder.python(program))
    exported = f"export OLD_MFA_KEY={key.decode()}\n"

    tried, done = folder.shell(exported + dry_run), folder.shell(exported + really)
    script = f"export OLD_JWT_SECRET={jwt_secret!r}\nuvicorn main:app"
    with folder.serve(script) as url, httpx.Client(base_url=url) as client:
        hellos = [
            client.get("/hello", headers=headers).text
            for headers in (
                {"Cookie": f"id={old['cookie']}"},
                {"Authorization": f"Bearer {old['token']}"},
                {"Authorization": f"Bearer {old['jwt']}"},
            )
        ]
        form = {"grant_type": "password", "username": "mira", "password": PASSWORD}
        answers = [
            client.post("/auth/token", data={**form, "mfa_code": one}).status_code
            for one in (pyotp.TOTP(old["totp"]).now(), "000000")
        ]

    assert done in tried
    assert "sessions: 1 moved." in done
    assert hellos == [f'{{"hello":"{name}"}}' for name in ("mira", "mira", "otto")]
    assert answers == [200, 400]


def test_piccolo_admin_on_the_page(folder: Folder) -> None:
    """The application of the page with Piccolo Admin in it."""
    code = blocks(DOCS / "how-to" / "import-from-piccolo-api.md")
    folder.write_files(code)
    folder.write(".env", f"PICCOLO_AUTH_SECRET_KEYS={SECRET}\n")
    (mounted,) = [b.text for b in code if b.language == "python" and not b.title]

    folder.python(
        f"from main import User, app, auth\n{mounted}\nassert app.routes[-1].path == '/admin'"
    )


@pytest.mark.parametrize(
    "page",
    [
        "accounts", "any-asgi-app", "api-keys", "audit", "behind-a-browser", "external-issuer", "from-piccolo-api",
        "mail", "mfa", "new-second-factor", "rate-limits", "roles-and-admin",
    ],
)  # fmt: skip
def test_the_python_of_a_page_runs(page: str, folder: Folder) -> None:
    """From top to bottom, as one program."""
    configuration = next(b.text for b in blocks(README) if "APP_REGISTRY" in b.text)
    folder.write("piccolo_conf.py", configuration)
    folder.write(".env", f"PICCOLO_AUTH_SECRET_KEYS={SECRET}\n")
    code = [b.text for b in blocks(DOCS / "how-to" / f"{page}.md") if b.language == "python"]

    folder.python("\n".join(code))

    assert code


def test_no_page_with_python_is_left_out() -> None:
    """A new how-to page gets a test here."""
    tried = {"tutorial", "custom-user-table", "testing-your-app", "behind-a-browser", "rate-limits"}
    tried |= {"accounts", "api-keys", "external-issuer", "mail", "mfa", "new-second-factor"}
    tried |= {"audit", "roles-and-admin", "any-asgi-app", "import-from-piccolo-api"}
    tried |= {"from-piccolo-api"}
    with_python = {
        page.stem
        for page in Path(DOCS).rglob("*.md")
        if any(block.language == "python" for block in blocks(page))
    }

    assert with_python == tried
