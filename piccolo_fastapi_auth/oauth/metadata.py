"""What an authorization server says about itself (RFC 8414). Pure."""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from piccolo_fastapi_auth.setting_types import LOCAL_HOSTS
from piccolo_fastapi_auth.settings import AuthSettings

WELL_KNOWN = "/.well-known/oauth-authorization-server"

_PATH = re.compile(r"[\w./~-]*")


def path_of(issuer: str) -> str | None:
    """Return where the metadata stands: the well-known part goes before the issuer's path (RFC 8414 section 3.1).

    ``None`` for an issuer that is no https URL: it has no metadata.
    """
    parts = urlsplit(issuer)
    is_url = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOCAL_HOSTS)
    if not is_url or not parts.hostname or parts.query or parts.fragment:
        return None
    return WELL_KNOWN + parts.path.rstrip("/") if _PATH.fullmatch(parts.path) else None


def describe(settings: AuthSettings, *, scopes: Iterable[str]) -> dict[str, object]:
    """Return the metadata; ``issuer`` is the setting to the letter (section 3.3).

    There is no authorization endpoint, so no response type; the list is required all the same.
    """
    parts = urlsplit(settings.issuer)
    origin = settings.public_origin or f"{parts.scheme}://{parts.netloc}"
    token = f"{origin}{settings.prefix}/token"
    found: dict[str, object] = {
        "issuer": settings.issuer,
        "token_endpoint": token,
        "token_endpoint_auth_methods_supported": ["none"],
        "grant_types_supported": ["password", "refresh_token"],
        "response_types_supported": [],
        "revocation_endpoint": f"{token}/revoke",
        "revocation_endpoint_auth_methods_supported": ["none"],
        "introspection_endpoint": f"{token}/introspect",
        "introspection_endpoint_auth_methods_supported": ["Bearer"],
    }
    if settings.algorithm != "HS256":
        found["jwks_uri"] = f"{origin}/.well-known/jwks.json"
    if declared := list(scopes):
        found["scopes_supported"] = declared
    return found
