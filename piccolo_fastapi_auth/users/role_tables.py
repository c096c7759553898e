"""Roles: names for sets of scopes, and who has them."""

from piccolo.columns import UUID, ForeignKey, OnDelete, Text, Timestamptz, Varchar
from piccolo.table import Table

from piccolo_fastapi_auth.users.user import AuthUser
from piccolo_fastapi_auth.users.user_table import UserReference


class AuthRole(Table, tablename="auth_role"):
    """A role."""

    id = UUID(primary_key=True)
    name = Varchar(length=64, unique=True)
    description = Text(default="")


class AuthRoleScope(Table, tablename="auth_role_scope"):
    """A scope that a role has. The key is made of both, so that there is one row each."""

    id = UUID(primary_key=True)
    role = ForeignKey(references=AuthRole, on_delete=OnDelete.cascade, null=False, index=True)
    scope = Varchar(length=128)


class AuthUserRole(Table, tablename="auth_user_role"):
    """A role that a person has. The key is made of both, so that there is one row each."""

    id = UUID(primary_key=True)
    user: ForeignKey[AuthUser] = ForeignKey(
        references=UserReference(), on_delete=OnDelete.cascade, null=False, index=True
    )
    role = ForeignKey(references=AuthRole, on_delete=OnDelete.cascade, null=False, index=True)
    granted_at = Timestamptz()
