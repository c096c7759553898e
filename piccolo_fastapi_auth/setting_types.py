"""How settings are written: lists, durations, keys and origins, in an environment variable or in Python."""

import base64
import json
import re
from datetime import timedelta
from hashlib import sha256
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator
from pydantic_settings import NoDecode

LOCAL_HOSTS = {"localhost", "127.0.0.1", "::1"}


def _listed(value: object) -> object:
    """Read a list from one environment variable: JSON, or items between commas."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.startswith("["):
        return json.loads(text)
    # A PEM key holds no comma, so signing keys may be given this way too.
    return [item.strip() for item in text.split(",") if item.strip()]


def _seconds(value: object) -> object:
    """Read a bare number from the environment as seconds; pydantic takes numbers, not their text."""
    if isinstance(value, str) and re.fullmatch(r"\d+(\.\d+)?", value.strip()):
        return float(value)
    return value


_LISTED = BeforeValidator(_listed)
Secrets = Annotated[list[SecretStr], NoDecode, _LISTED]
Texts = Annotated[list[str], NoDecode, _LISTED]
Duration = Annotated[timedelta, BeforeValidator(_seconds)]
Lifetime = Annotated[Duration, Field(gt=timedelta(0))]


def decoded(key: SecretStr) -> bytes:
    """Read base64url, with or without padding; nothing when it is not that."""
    text = key.get_secret_value().rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return b""


def bare_origin(text: str) -> str:
    """Return ``text`` as a bare origin; refuse paths, and plain http beyond this machine."""
    parts = urlsplit(text)
    origin = f"{parts.scheme}://{parts.netloc}".lower()
    if (
        parts.scheme not in {"http", "https"}
        or not parts.hostname
        or parts.username
        or text.lower().rstrip("/") != origin
    ):
        raise ValueError("an origin is scheme://host[:port] and nothing more")
    if parts.scheme == "http" and parts.hostname not in LOCAL_HOSTS:
        raise ValueError("an origin must be https, except on localhost")
    return origin


_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{32,4096}")  # what fits into a header: RFC 6750 section 2.1


class StaticToken(BaseModel):
    """A token between services, fixed in the settings: the text, or ``sha256:`` and its digest in hex."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    token: SecretStr
    scopes: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: object) -> object:
        return {"token": value} if isinstance(value, str | SecretStr) else value

    @model_validator(mode="after")
    def _is_long(self) -> Self:
        text = self.token.get_secret_value()
        if not (_DIGEST.fullmatch(text) or _TOKEN.fullmatch(text)) or text.startswith("pfa_"):
            raise ValueError(
                "a static token is 32 characters or more of A-Z a-z 0-9 . _ ~ + / = -, or sha256: and its digest"
            )
        return self

    @property
    def digest(self) -> bytes:
        """The SHA-256 of the token."""
        text = self.token.get_secret_value()
        given = _DIGEST.fullmatch(text)
        return bytes.fromhex(given[1]) if given else sha256(text.encode()).digest()
