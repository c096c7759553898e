"""The first page: what there is to try, with links into Swagger UI. Nothing on it comes from elsewhere."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment

from example_app import admin
from example_app.auth import auth
from example_app.tables import User


@dataclass(frozen=True)
class Step:
    """Something to try, and the operations that do it."""

    text: str
    operations: tuple[str, ...]


STEPS: Final = (
    Step("Sign up", ("register",)),
    Step(
        "Press Authorize at the top of that page, type name and password, and save a link",
        ("save_link", "list_links"),
    ),
    Step("Or log in with a cookie, as a browser does", ("log_in", "get_session", "log_out")),
    Step(
        "Add an authenticator app as a second factor",
        ("begin_totp", "confirm_totp", "verify_mfa"),
    ),
    Step("See where you are signed in, and end one of these", ("list_sessions", "end_session")),
    Step("Make a key for a script, and revoke it", ("create_api_key", "revoke_api_key")),
    Step("See what happened to your account", ("list_events",)),
)
router = APIRouter()
_page: Final = Environment(autoescape=True).from_string(
    Path(__file__).with_name("start.html").read_text(encoding="utf-8")
)


@router.get("/", include_in_schema=False)
async def start(
    request: Request, user: Annotated[User | None, Depends(auth.optional_user)]
) -> HTMLResponse:
    """Show the page, with the name of whoever is signed in with a cookie."""
    paths: dict[str, dict[str, dict[str, object]]] = request.app.openapi()["paths"]
    known = {
        str(operation["operationId"]): (f"{method.upper()} {path}", operation)
        for path, item in paths.items()
        for method, operation in item.items()
    }
    return HTMLResponse(
        _page.render(
            steps=STEPS,
            calls={name: call for name, (call, _) in known.items()},
            tag_of={name: operation["tags"][0] for name, (_, operation) in known.items()},  # type: ignore[index] # a list of strings
            name=user and (user.display_name or user.username),
            admin=admin.IS_INSTALLED,
            nonce=request.state.csp_nonce,
        )
    )
