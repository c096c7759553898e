"""What is stored about an account beyond Piccolo's own user columns."""

from piccolo.columns import ForeignKey, Integer, OnDelete, Serial, Timestamptz, Varchar
from piccolo.table import Table

from piccolo_fastapi_auth.users.user import AuthUser
from piccolo_fastapi_auth.users.user_table import UserReference


class AuthIdentifier(Table, tablename="auth_identifier"):
    """A name by which a person logs in: the username or the address, in one canonical spelling, nobody else's."""

    id: Serial
    user: ForeignKey[AuthUser] = ForeignKey(
        references=UserReference(), on_delete=OnDelete.cascade, null=False, index=True
    )
    canonical = Varchar(length=320, unique=True, help_text="NFKC and case folded.")


class AuthAccount(Table, tablename="auth_account"):
    """One row a person, made when there is something to store."""

    id: Serial
    user: ForeignKey[AuthUser] = ForeignKey(
        references=UserReference(), on_delete=OnDelete.cascade, null=False, unique=True
    )
    verified_email = Varchar(
        length=255,
        null=True,
        default=None,
        help_text="The address that was proven; verified while it is the user's.",
    )
    password_changed_at = Timestamptz(null=True, default=None)
    code_attempts = Integer(default=0, help_text="One-time codes tried in the current window.")
    code_window_at = Timestamptz(null=True, default=None, help_text="When that window began.")
