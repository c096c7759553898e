"""Everything about signing in, for FastAPI applications on the Piccolo ORM."""

from piccolo_fastapi_auth.accounts.schemas import ProfileUpdate
from piccolo_fastapi_auth.auth import Auth
from piccolo_fastapi_auth.authenticated import Authenticated
from piccolo_fastapi_auth.backends import AuthBackend
from piccolo_fastapi_auth.errors import AuthError
from piccolo_fastapi_auth.external_issuer import ExternalIssuer
from piccolo_fastapi_auth.jwt_auth import JWTAuth
from piccolo_fastapi_auth.mfa.methods.email_code import EmailCode
from piccolo_fastapi_auth.mfa.methods.recovery_codes import RecoveryCodes
from piccolo_fastapi_auth.mfa.methods.totp import Totp
from piccolo_fastapi_auth.middleware import AuthMiddleware
from piccolo_fastapi_auth.rate_limits.limiter import RateLimiter
from piccolo_fastapi_auth.security_headers import SecurityHeadersMiddleware
from piccolo_fastapi_auth.sessions.access_tokens import Principal
from piccolo_fastapi_auth.sessions.records import Session
from piccolo_fastapi_auth.settings import AuthSettings
from piccolo_fastapi_auth.users.user import AuthUser, User

__all__ = [
    "Auth",
    "AuthBackend",
    "AuthError",
    "AuthMiddleware",
    "AuthSettings",
    "AuthUser",
    "Authenticated",
    "EmailCode",
    "ExternalIssuer",
    "JWTAuth",
    "Principal",
    "ProfileUpdate",
    "RateLimiter",
    "RecoveryCodes",
    "SecurityHeadersMiddleware",
    "Session",
    "Totp",
    "User",
]
