"""One row for each API key."""

from piccolo.columns import UUID, ForeignKey, OnDelete, Text, Timestamptz, Varchar
from piccolo.table import Table

from piccolo_fastapi_auth.users.user import AuthUser
from piccolo_fastapi_auth.users.user_table import UserReference


class AuthApiKey(Table, tablename="auth_api_key"):
    """A key that a person made for a program. Holds nothing that can be presented."""

    id = UUID(primary_key=True)
    user: ForeignKey[AuthUser] = ForeignKey(
        references=UserReference(), on_delete=OnDelete.cascade, null=False, index=True
    )
    secret_hash = Varchar(length=64, secret=True, help_text="SHA-256 of the key's secret.")
    name = Varchar(length=100)
    scopes = Text(default="", help_text="The most that it may do, separated by spaces.")
    methods = Varchar(
        length=255,
        default="",
        help_text="How the person signed in who made it; as in auth_session.",
    )
    created_at = Timestamptz()
    expires_at = Timestamptz()
    last_used_at = Timestamptz(null=True, default=None, help_text="Written at most once a minute.")
    rolled_over_at = Timestamptz(
        null=True, default=None, help_text="When it got its successor; it has one at most."
    )
