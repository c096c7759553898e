"""Piccolo Admin at /admin, where it is installed; without it the example is the same but for that."""

import importlib.util
from typing import Final

from fastapi import FastAPI
from piccolo.table import Table

from example_app.auth import auth
from example_app.tables import Link, Tag, User
from piccolo_fastapi_auth import SecurityHeadersMiddleware

CSP: Final = (
    # Its pages style themselves inline.
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'"
)
IS_INSTALLED = importlib.util.find_spec("piccolo_admin") is not None


def admin_table() -> list[type[Table]]:
    """Return the table of Piccolo Admin's own sessions."""
    if not IS_INSTALLED:
        return []
    from piccolo_api.session_auth.tables import SessionsBase  # noqa: PLC0415 - an optional install

    return [SessionsBase]


def mount_admin(app: FastAPI) -> None:
    """Put Piccolo Admin beside the example: for people with ``admin`` set, and our tables for superusers."""
    if not IS_INSTALLED:
        return
    from piccolo_admin.endpoints import create_admin  # noqa: PLC0415 - an optional install

    from piccolo_fastapi_auth.piccolo_admin import (  # noqa: PLC0415 - as above
        AdminMfa,
        admin_tables,
        end_admin_sessions,
    )

    end_admin_sessions(auth)
    app.mount(
        "/admin",
        SecurityHeadersMiddleware(
            create_admin(
                tables=[User, Link, Tag, *admin_tables()],
                auth_table=User,
                mfa_providers=[AdminMfa(auth)],
                production=auth.settings.secure_cookies,
                site_name="Reading list",
            ),
            csp=CSP,
        ),
    )
