"""AUZ-1: every route is protected, or marked as open; a hole refuses to start."""

import os
import subprocess
import sys
import textwrap
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import pytest
from fastapi import APIRouter, Depends, FastAPI, Security, WebSocket
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from piccolo_fastapi_auth import Auth, AuthSettings, User
from piccolo_fastapi_auth.route_audit import RouteProtection, UnprotectedRouteError
from tests.fixtures import SCOPES, SECRET

# What of ours is open to everybody: it begins or ends a session, or shows what is public anyway.
OPEN = {
    "POST /auth/register", "POST /auth/login", "POST /auth/token", "POST /auth/refresh", "POST /auth/token/revoke",
    "POST /auth/password/forgot", "POST /auth/password/reset", "POST /auth/email/verify/request",
    "POST /auth/email/verify", "POST /auth/email/change/undo", "GET HEAD /auth/confirm", "POST /auth/confirm",
    "POST /auth/logout", "POST /auth/mfa/verify", "GET /.well-known/jwks.json",
    "GET /.well-known/oauth-authorization-server/auth",
}  # fmt: skip


@pytest.fixture
def auth() -> Auth[User]:
    """Without a database: nothing is asked."""
    return Auth(AuthSettings(secret_keys=[SECRET]), scopes=SCOPES)


def rows(auth: Auth[User], app: FastAPI) -> dict[str, RouteProtection]:
    """The rows by what they are about."""
    return {f"{' '.join(row.methods)} {row.path}": row for row in auth.audit_routes(app)}


def test_our_own_open_routes_are_on_the_list(auth: Auth[User]) -> None:
    """A guard that is forgotten on a new route of ours turns this red."""
    app = FastAPI(openapi_url=None)
    app.include_router(auth.router)

    found = {name for name, row in rows(auth, app).items() if row.protection == "public"}

    assert {name for name in found if "metadata" not in name and "oauth" not in name} == {
        name for name in OPEN if "oauth" not in name
    }


def test_every_kind_of_route_is_seen(auth: Auth[User]) -> None:  # noqa: PLR0915 - one small route after another
    """Included routers with their dependencies, sub-applications, static files, WebSockets, scopes."""
    app, inner, deep = FastAPI(), FastAPI(openapi_url=None), APIRouter(prefix="/deep")
    app.include_router(auth.router)

    async def nothing() -> None:
        pass

    async def socket(
        websocket: WebSocket, user: Annotated[User, Depends(auth.current_user)]
    ) -> None:
        raise NotImplementedError

    def indirect(
        user: Annotated[User, Depends(auth.require(mfa=True, fresh=timedelta(1)))],
    ) -> User:
        return user

    deep.add_api_route("/one", nothing)
    app.include_router(
        deep, prefix="/v1", dependencies=[Security(auth.current_user, scopes=["posts:read"])]
    )
    app.add_api_route("/indirect", nothing, dependencies=[Depends(indirect)])
    app.add_api_route("/open", nothing, dependencies=[Depends(auth.public)])
    app.add_api_route("/hole", nothing, methods=["POST"])
    app.add_api_websocket_route("/ws", socket)
    inner.add_api_route("/hole", nothing)
    app.mount("/inner", inner)
    app.router.routes.append(Mount("/static", StaticFiles(directory=".")))

    found = rows(auth, app)

    assert found["GET /v1/deep/one"].protection == "current_user"
    assert found["GET /v1/deep/one"].scopes == ("posts:read",)
    assert found["GET /indirect"].protection == "require(mfa, fresh)"
    assert found["GET /open"].protection == "public"
    assert found["WEBSOCKET /ws"].protection == "current_user"
    assert found["GET HEAD /docs"].protection == "public"
    assert found["GET /auth/admin/users"].protection == "admin(fresh)"
    assert found["GET /auth/admin/users"].scopes == ("auth:admin",)
    with pytest.raises(UnprotectedRouteError) as error:
        auth.audit_routes(app, strict=True)
    assert {row.path for row in error.value.routes} == {"/hole", "/inner/hole", "/static"}
    assert "POST /hole" in str(error.value)
    public = ["/hole", "/inner/hole", "/static"]
    assert len(auth.audit_routes(app, strict=True, public=public)) == len(found)


def test_the_command_lists_and_fails_on_a_hole(tmp_path: Path) -> None:
    """``piccolo fastapi_auth routes main:app``."""
    (tmp_path / "piccolo_conf.py").write_text(
        textwrap.dedent("""
            from piccolo.conf.apps import AppRegistry
            from piccolo.engine import SQLiteEngine
            DB = SQLiteEngine(path="auth.sqlite")
            APP_REGISTRY = AppRegistry(apps=["piccolo.apps.user.piccolo_app", "piccolo_fastapi_auth.piccolo_app"])
        """)
    )
    (tmp_path / "main.py").write_text(
        textwrap.dedent("""
            from fastapi import FastAPI
            from piccolo_fastapi_auth import Auth
            auth, app = Auth(), FastAPI()
            app.include_router(auth.router)
            @app.get("/hole")
            async def hole() -> None: ...
        """)
    )
    environment = {
        **os.environ,
        "PICCOLO_AUTH_SECRET_KEYS": f'["{SECRET}"]',
        "PICCOLO_CONF": "piccolo_conf",
    }
    done = subprocess.run(  # noqa: S603 - our own command
        [str(Path(sys.executable).parent / "piccolo"), "fastapi_auth", "routes", "main:app"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=50,
    )  # fmt: skip

    assert done.returncode != 0
    assert "admin(fresh) [auth:admin]" in done.stdout
    assert "/hole" in done.stdout
    assert "1 routes are neither" in done.stdout + done.stderr
