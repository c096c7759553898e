"""Every table of every slice, in the order in which they can be made."""

from typing import Final

from piccolo.table import Table

from piccolo_fastapi_auth.api_keys.tables import AuthApiKey
from piccolo_fastapi_auth.audit.tables import AuthEvent
from piccolo_fastapi_auth.mfa.tables import AuthMfaMethod, AuthRecoveryCode
from piccolo_fastapi_auth.moving.tables import AuthImport
from piccolo_fastapi_auth.one_time_tokens.tables import AuthOneTimeToken
from piccolo_fastapi_auth.sessions.tables import AuthSession, AuthTrustedDevice
from piccolo_fastapi_auth.users.role_tables import AuthRole, AuthRoleScope, AuthUserRole
from piccolo_fastapi_auth.users.tables import AuthAccount, AuthIdentifier

TABLES: Final[tuple[type[Table], ...]] = (
    AuthAccount, AuthIdentifier, AuthSession, AuthOneTimeToken, AuthMfaMethod, AuthRecoveryCode,
    AuthTrustedDevice,
    AuthEvent,
    AuthRole, AuthRoleScope, AuthUserRole,
    AuthApiKey,
    AuthImport,
)  # fmt: skip
