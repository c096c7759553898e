"""One row for each thing that happened. Written once, never changed but to forget a person."""

from piccolo.columns import UUID, BigSerial, ForeignKey, OnDelete, Text, Timestamptz, Varchar
from piccolo.table import Table

from piccolo_fastapi_auth.users.user import AuthUser
from piccolo_fastapi_auth.users.user_table import UserReference


class AuthEvent(Table, tablename="auth_event"):
    """An event. It outlives its person, without naming them: the keys are emptied when the person goes."""

    # Counts up: the order in which things happened, also within one moment.
    id = BigSerial(primary_key=True)
    at = Timestamptz(index=True)
    action = Varchar(length=32)
    outcome = Varchar(length=16)
    user: ForeignKey[AuthUser] = ForeignKey(
        references=UserReference(), on_delete=OnDelete.set_null, null=True, default=None
    )
    actor: ForeignKey[AuthUser] = ForeignKey(
        references=UserReference(), on_delete=OnDelete.set_null, null=True, default=None, index=True
    )
    session_id = UUID(null=True, default=None)
    ip = Varchar(length=45, null=True, default=None)
    user_agent = Varchar(length=255, null=True, default=None)
    method = Varchar(length=64, null=True, default=None)
    request_id = Varchar(length=64, null=True, default=None)
    detail = Text(default="", help_text="JSON: what else the action says.")


BY_USER = (AuthEvent.user, AuthEvent.id)
"""The index behind a person's own list, newest first, and behind emptying their keys."""
