"""Every table of every slice, in the order in which they can be made."""

from typing import Final

from piccolo.table import Table

from piccolo_fastapi_auth.api_keys.tables import AuthApiKey
from piccolo_fastapi_auth.audit.tables import AuthEvent
from piccolo_fastapi_auth.mfa.tables import AuthMfaMethod, AuthRecoveryCode
from piccolo_fastapi_auth.one_time_tokens.tables import AuthOneTimeToken
from piccolo_fastapi_auth.sessions.tables import AuthSession
from piccolo_fastapi_auth.users.role_tables import AuthRole, AuthRoleScope, AuthUserRole
from piccolo_fastapi_auth.users.tables import AuthAccount

TABLES: Final[tuple[type[Table], ...]] = (
    AuthAccount, AuthSession, AuthOneTimeToken, AuthMfaMethod, AuthRecoveryCode,
    AuthEvent,
    AuthRole, AuthRoleScope, AuthUserRole,
    AuthApiKey,
)  # fmt: skip
