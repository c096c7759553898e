"""Secrets that are good once, each for one purpose and one person."""

from piccolo.columns import UUID, ForeignKey, Integer, OnDelete, Text, Timestamptz, Varchar
from piccolo.table import Table

from piccolo_fastapi_auth.users.user import AuthUser
from piccolo_fastapi_auth.users.user_table import UserReference


class AuthOneTimeToken(Table, tablename="auth_one_time_token"):
    """A token that was handed out: its digest, what it is for, and until when."""

    id = UUID(primary_key=True)
    user: ForeignKey[AuthUser] = ForeignKey(
        references=UserReference(), on_delete=OnDelete.cascade, null=False, index=True
    )
    token_hash = Varchar(length=64, unique=True, secret=True, help_text="SHA-256 of the token.")
    purpose = Varchar(length=32)
    binding = Varchar(
        length=64,
        default="",
        secret=True,
        help_text="Digest of what must not have changed meanwhile.",
    )
    data = Text(default="", help_text="JSON: what the purpose needs to go on.")
    attempts = Integer(default=0)
    created_at = Timestamptz()
    expires_at = Timestamptz()
    used_at = Timestamptz(null=True, default=None)
