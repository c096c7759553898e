"""``AuthSettings``: every setting, validated once. Nothing is read on import.

Sources, first wins: keyword arguments, environment variables (``PICCOLO_AUTH_SECRET_KEYS`` ...), a
``.env`` file in the working folder. Lists may be JSON or comma-separated; durations are seconds or
ISO 8601 (``PT10M``).
"""

import os
import re
from datetime import timedelta
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from piccolo_fastapi_auth.primitives.opaque_tokens import derive_key
from piccolo_fastapi_auth.setting_types import (
    Duration,
    Lifetime,
    Secrets,
    StaticToken,
    Texts,
    bare_origin,
    decoded,
)

HOW_TO_MAKE_A_KEY = 'python -c "import secrets; print(secrets.token_urlsafe(32))"'
MINIMUM_SECRET_BYTES = 32
FEWEST_DIFFERENT_CHARACTERS = 10
ENCRYPTION_KEY_BYTES = 32

_PLACEHOLDER = re.compile(
    r"change[-_ ]?me|placeholder|your[-_ ]?secret|secret[-_ ]?key|insecure|example|password",
    re.IGNORECASE,
)


class UserTableSetting(BaseSettings):
    """The one setting that tables and migrations need, where no ``Auth`` exists."""

    model_config = SettingsConfigDict(env_prefix="PICCOLO_AUTH_", env_file=".env", extra="ignore")

    user_table: str = Field(default="piccolo_fastapi_auth:User", pattern=r"^[\w.]+:\w+$")


class AuthSettings(BaseSettings):
    """Settings of one ``Auth``; environment prefix ``PICCOLO_AUTH_``.

    Raises:
        pydantic.ValidationError: A value is missing, weak or contradictory. The message says what to
            do and never holds a secret.
    """

    model_config = SettingsConfigDict(
        env_prefix="PICCOLO_AUTH_",
        env_file=".env",
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    secret_keys: Secrets = Field(
        default=[],
        validate_default=True,
        description="The first signs and derives, all verify; 32 bytes or more each.",
    )
    algorithm: Literal["HS256", "RS256", "ES256"] = Field(
        default="HS256", description="How access tokens are signed."
    )
    signing_keys: Secrets = Field(
        default=[],
        description="PEM private keys for RS256 or ES256, newest first; the first signs, all verify.",
    )
    issuer: str = Field(
        default="piccolo-fastapi-auth",
        min_length=1,
        description="`iss` of access tokens, matched exactly.",
    )
    audience: str = Field(
        default="piccolo-fastapi-auth",
        min_length=1,
        description="`aud` of access tokens, matched exactly.",
    )
    user_table: str = Field(
        default="piccolo_fastapi_auth:User",
        pattern=r"^[\w.]+:\w+$",
        description="Import string of the user table, read by tables and migrations.",
    )
    prefix: str = Field(
        default="/auth", pattern=r"^(/[\w.~-]+)*$", description="Path prefix of every route."
    )
    access_token_lifetime: Lifetime = Field(
        default=timedelta(minutes=10), description="Life of an access token."
    )
    refresh_grace: Duration = Field(
        default=timedelta(seconds=10),
        ge=timedelta(0),
        le=timedelta(minutes=5),
        description="How long the previous refresh token still answers with the same successor; 0 is strict.",
    )
    session_lifetime: Lifetime = Field(
        default=timedelta(days=30), description="Absolute life of a session."
    )
    session_idle_timeout: Lifetime = Field(
        default=timedelta(days=7), description="A session unused for this long has ended."
    )
    reauthentication_age: Lifetime = Field(
        default=timedelta(minutes=10),
        description="What *fresh* means for the library's own routes.",
    )
    max_sessions: int | None = Field(
        default=None, ge=1, description="Sessions a person may have; the oldest ends first."
    )
    secure_cookies: bool = Field(
        default=True, description="Secure `__Host-` cookies; off for development only."
    )
    cookie_name: str = Field(
        default="session",
        pattern=r"^[A-Za-z0-9_-]+$",
        description="`__Host-` is put in front when secure.",
    )
    csrf_strict: bool = Field(
        default=False,
        description="Refuse an unsafe request with a cookie that has neither `Sec-Fetch-Site` nor `Origin`.",
    )
    public_origin: str | None = Field(
        default=None,
        description="Where people reach the application, such as `https://app.example.com`.",
    )
    trusted_origins: Texts = Field(
        default=[], description="Other origins that may send unsafe requests with a cookie."
    )
    trusted_proxies: Texts = Field(
        default=[],
        description="Addresses or CIDR ranges of proxies whose forwarded headers are believed.",
    )
    rate_limit_storage: str = Field(
        default="memory://",
        repr=False,  # it may hold a password
        description="Where counters are: `memory://` (this process only), or a Redis or Valkey URI of `limits`.",
    )
    rate_limit_strategy: Literal["sliding-window-counter", "fixed-window", "moving-window"] = Field(
        default="sliding-window-counter", description="How limits count."
    )
    rate_limit_on_store_failure: Literal["memory", "deny"] = Field(
        default="memory",
        description="While the store is down: count in each process, or refuse with 503. Log-in always refuses.",
    )
    rate_limit_headers: bool = Field(
        default=True, description="Whether responses carry `RateLimit-Policy` and `RateLimit`."
    )
    rate_limit_slowapi_headers: bool = Field(
        default=False, description="Whether they carry slowapi's `X-RateLimit-*` too."
    )
    login_limit_per_ip: str = Field(
        default="20/minute",
        description="Attempts at a secret from one address (one /64 for IPv6); empty is off.",
    )
    login_limit_per_account: str = Field(
        default="5/5 minutes", description="Attempts at one account's password; empty is off."
    )
    hash_concurrency: int = Field(
        default_factory=lambda: os.cpu_count() or 1,
        ge=1,
        le=64,
        description="Password hashes computed at once; by default one a core.",
    )
    hash_queue: int = Field(
        default=64, ge=0, description="Password hashes that may wait; beyond it 503."
    )
    require_mfa: Literal["nobody", "admins", "everyone"] = Field(
        default="nobody", description="Who must use a second factor."
    )
    password_min_length: int = Field(
        default_factory=lambda chosen: 8 if chosen.get("require_mfa") == "everyone" else 15,
        ge=8,
        le=1024,
        description="Fewest characters of a new password; by default 15, or 8 when everyone uses a second factor.",
    )
    password_words: Texts = Field(
        default=[],
        description="Words of this site (its name, its company) that are no password by themselves.",
    )
    encryption_keys: Secrets = Field(
        default=[],
        description="Base64url of 32 bytes each, for TOTP secrets; the first seals, all open. Derived from `secret_keys` when empty.",
    )
    mfa_token_lifetime: Lifetime = Field(
        default=timedelta(minutes=5), description="How long a log-in waits for its second factor."
    )
    trusted_device_lifetime: Duration = Field(
        default=timedelta(0),
        ge=timedelta(0),
        le=timedelta(days=90),
        description="How long a browser is spared the second factor, where its person says so; 0 is off.",
    )
    email_verification: Literal["off", "required"] = Field(
        default="off",
        description="`required`: nobody logs in before their address is proven; signing up answers alike for known and unknown.",
    )
    magic_links: bool = Field(
        default=False, description="Whether people may log in by a link in a mail."
    )
    registration: bool = Field(
        default=True, description="Whether anybody may sign up; if not, an invitation is needed."
    )
    api_key_lifetime: Lifetime = Field(
        default=timedelta(days=90), description="Life of an API key for which none is asked."
    )
    max_api_keys: int = Field(
        default=50, ge=1, le=1000, description="Live API keys that a person may have."
    )
    static_tokens: dict[str, StaticToken] = Field(
        default={},
        description="Tokens between services by name: each a text, or `token` (perhaps `sha256:` and its digest) and `scopes`.",
    )
    email_code_lifetime: Lifetime = Field(
        default=timedelta(minutes=10), description="Life of a code sent by mail."
    )
    magic_link_lifetime: Lifetime = Field(
        default=timedelta(minutes=15), description="Life of a link that logs in."
    )
    reset_token_lifetime: Lifetime = Field(
        default=timedelta(hours=1),
        le=timedelta(hours=1),
        description="Life of a link to choose a new password.",
    )
    verification_token_lifetime: Lifetime = Field(
        default=timedelta(hours=24),
        le=timedelta(hours=24),
        description="Life of a link that confirms an address, or takes a change back.",
    )
    invitation_lifetime: Lifetime = Field(
        default=timedelta(days=7), description="Life of an invitation."
    )
    mail_limit_per_address: str = Field(
        default="5/hour",
        description="Mails of one kind that anybody can cause to one address; empty is off.",
    )
    moved_cookie: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_-]+$",
        description="Name of Piccolo API's session cookie (`id`), read where ours is missing, so that moved sessions go on.",
    )
    moved_tokens: bool = Field(
        default=False,
        description="Whether moved tokens of Piccolo API are taken as `Authorization: Bearer`.",
    )
    moved_jwt_secrets: Secrets = Field(
        default=[],
        description="Secrets of Piccolo API's JWTs, which are taken until they expire.",
    )

    @field_validator("secret_keys")
    @classmethod
    def _strong(cls, keys: list[SecretStr]) -> list[SecretStr]:
        hint = f"Make one with: {HOW_TO_MAKE_A_KEY}"
        if not keys:
            raise ValueError(f"PICCOLO_AUTH_SECRET_KEYS is not set. {hint}")
        for key in keys:
            text = key.get_secret_value()
            if len(text.encode()) < MINIMUM_SECRET_BYTES:
                raise ValueError(
                    f"a secret key is shorter than {MINIMUM_SECRET_BYTES} bytes. {hint}"
                )
            if _PLACEHOLDER.search(text) or len(set(text)) < FEWEST_DIFFERENT_CHARACTERS:
                raise ValueError(f"a secret key looks like a placeholder. {hint}")
        return keys

    @field_validator("encryption_keys")
    @classmethod
    def _keys_of_32_bytes(cls, keys: list[SecretStr]) -> list[SecretStr]:
        for key in keys:
            if len(decoded(key)) != ENCRYPTION_KEY_BYTES:
                raise ValueError(
                    f"an encryption key must be base64url of 32 bytes. Make one with: {HOW_TO_MAKE_A_KEY}"
                )
        return keys

    @field_validator("public_origin", "trusted_origins")
    @classmethod
    def _origins(cls, value: str | list[str] | None) -> str | list[str] | None:
        if value is None:
            return None
        return (
            bare_origin(value) if isinstance(value, str) else [bare_origin(item) for item in value]
        )

    @model_validator(mode="after")
    def _keys_fit_the_algorithm(self) -> Self:
        if self.algorithm == "HS256" and self.signing_keys:
            raise ValueError(
                "signing_keys are for RS256 and ES256; one issuer has one family of algorithms"
            )
        if self.algorithm != "HS256" and not self.signing_keys:
            raise ValueError(f"{self.algorithm} needs signing_keys: PEM private keys, newest first")
        return self

    @property
    def secrets(self) -> list[bytes]:
        """The secret keys as bytes, newest first."""
        return [key.get_secret_value().encode() for key in self.secret_keys]

    @property
    def sealing_keys(self) -> list[bytes]:
        """The keys for sealed columns, newest first."""
        given = [decoded(key) for key in self.encryption_keys]
        # The derived ones go on opening what they sealed before `encryption_keys` was set.
        return [*given, *(derive_key(secret, purpose="sealing") for secret in self.secrets)]

    @property
    def session_cookie(self) -> str:
        """The full cookie name (RFC 6265bis section 4.1.3.2)."""
        return f"__Host-{self.cookie_name}" if self.secure_cookies else self.cookie_name
