"""What is stored about second factors: one row an enrolment, one row a recovery code."""

from piccolo.columns import UUID, BigInt, ForeignKey, Integer, OnDelete, Text, Timestamptz, Varchar
from piccolo.table import Table

from piccolo_fastapi_auth.users.user import AuthUser
from piccolo_fastapi_auth.users.user_table import UserReference


class AuthMfaMethod(Table, tablename="auth_mfa_method"):
    """An enrolment. Its state is sealed and bound to the row: the database alone yields no code."""

    id = UUID(primary_key=True)
    user: ForeignKey[AuthUser] = ForeignKey(
        references=UserReference(), on_delete=OnDelete.cascade, null=False, index=True
    )
    method = Varchar(length=32)
    name = Varchar(length=100, default="")
    state = Text(secret=True, help_text="Sealed.")
    version = BigInt(default=0, help_text="Compared and set whenever the state changes.")
    failures = Integer(default=0, help_text="Wrong codes in a row.")
    created_at = Timestamptz()
    confirmed_at = Timestamptz(null=True, default=None)
    last_used_at = Timestamptz(null=True, default=None)
    disabled_at = Timestamptz(
        null=True, default=None, help_text="Set by too many wrong codes in a row."
    )


class AuthRecoveryCode(Table, tablename="auth_recovery_code"):
    """A recovery code, as a digest."""

    id = UUID(primary_key=True)
    user: ForeignKey[AuthUser] = ForeignKey(
        references=UserReference(), on_delete=OnDelete.cascade, null=False, index=True
    )
    code_hash = Varchar(length=64, unique=True, secret=True, help_text="SHA-256 of the code.")
    derivation = Varchar(
        length=255,
        null=True,
        default=None,
        secret=True,
        help_text="How the digest of a code that was moved here is made, with its salt; null is ours.",
    )
    created_at = Timestamptz()
    used_at = Timestamptz(null=True, default=None)
