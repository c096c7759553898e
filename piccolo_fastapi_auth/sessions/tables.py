"""One row for each sign-in, whatever its transport."""

from piccolo.columns import UUID, BigInt, ForeignKey, OnDelete, Text, Timestamptz, Varchar
from piccolo.table import Table

from piccolo_fastapi_auth.users.user import AuthUser
from piccolo_fastapi_auth.users.user_table import UserReference


class AuthSession(Table, tablename="auth_session"):
    """A sign-in. Holds nothing that can be presented: a digest of the cookie, or a generation and a salt."""

    id = UUID(primary_key=True)
    user: ForeignKey[AuthUser] = ForeignKey(
        references=UserReference(), on_delete=OnDelete.cascade, null=False, index=True
    )
    transport = Varchar(length=16, default="cookie", help_text="cookie or bearer")
    token_hash = Varchar(
        length=64,
        null=True,
        default=None,
        unique=True,
        secret=True,
        help_text="SHA-256 of the cookie's token.",
    )
    generation = BigInt(default=0, help_text="How often the refresh token was rotated.")
    refresh_salt = Varchar(length=64, null=True, default=None, secret=True)
    rotated_at = Timestamptz(null=True, default=None)
    created_at = Timestamptz()
    authenticated_at = Timestamptz(help_text="When a person last proved to be there.")
    last_seen_at = Timestamptz(help_text="Written at most once a minute.")
    expires_at = Timestamptz(help_text="The absolute end.")
    methods = Varchar(
        length=255, default="", help_text="How the person signed in, separated by spaces."
    )
    scope = Text(
        null=True, default=None, help_text="The scopes asked for, separated by spaces; null is all."
    )
    ip = Varchar(length=45, null=True, default=None)
    user_agent = Varchar(length=255, null=True, default=None)
    actor: ForeignKey[AuthUser] = ForeignKey(
        references=UserReference(), on_delete=OnDelete.cascade, null=True, default=None, index=True,
        help_text="Who acts as the person (RFC 8693); null is the person.",
    )  # fmt: skip


class AuthTrustedDevice(Table, tablename="auth_trusted_device"):
    """A browser that is spared the second factor for a while. It ends with the session that its log-in began."""

    id = UUID(primary_key=True)
    user: ForeignKey[AuthUser] = ForeignKey(
        references=UserReference(), on_delete=OnDelete.cascade, null=False, index=True
    )
    session: ForeignKey[AuthSession] = ForeignKey(
        references=AuthSession, on_delete=OnDelete.cascade, null=False, index=True
    )
    token_hash = Varchar(
        length=64,
        unique=True,
        secret=True,
        help_text="Digest of the browser's token, the password's hash and the second factors.",
    )
    created_at = Timestamptz()
    expires_at = Timestamptz()
