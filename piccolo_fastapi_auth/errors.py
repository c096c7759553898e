"""The error tree. Each error has a stable ``code``, a status and a message that holds no secret.

::

    HTTPException
    └── AuthError                        any refusal of this library
        ├── NotAuthenticatedError        401  no credential came
        ├── InvalidCredentialsError      401  wrong name or password; never says which
        ├── InvalidTokenError            401  malformed, forged or unknown credential
        ├── TokenExpiredError            401  a genuine access token, too old
        ├── MfaRequiredError             401  the password is right, and a second factor is needed
        ├── InvalidCodeError             401  the one-time code is wrong or was used
        ├── MfaTokenExpiredError         401  the challenge is over: too late, too many tries, or answered
        ├── TokenReusedError             401  a refresh token came twice; the session is ended
        ├── SessionExpiredError          401  the session behind the credential has ended
        ├── ReauthenticationRequiredError 401 the log-in is too old or too weak for this route
        ├── InvalidRequestError          400  two credentials at once, or a malformed request
        ├── InvalidLinkError             400  a link from a mail is used, replaced, too old, or for another address
        ├── CsrfFailedError              403  an unsafe request with a cookie from a foreign page
        ├── InsufficientScopeError       403  the credential lacks a scope
        ├── CredentialNotAcceptedError   403  a good credential of a kind that this route does not take
        ├── ImpersonatingError           403  somebody acts as somebody else
        ├── TargetNotAllowedError        403  an administrator may not do this to that person
        ├── EmailNotVerifiedError        403  the route needs a verified e-mail address
        ├── MfaEnrolmentRequiredError    403  the route needs a second factor; the person has none
        ├── NotFoundError                404  no such thing, or somebody else's
        ├── UserExistsError              409  the name or the address is taken
        ├── TooManyKeysError             409  the person has as many API keys as anybody may have
        ├── AlreadyRolledOverError       409  the API key has its successor
        ├── ResetUnavailableError        409  there is no mail by which to reset a password
        ├── PayloadTooLargeError         413  the body is larger than any of ours
        ├── AlreadyEnrolledError         409  the person has as many second factors as anybody may have
        ├── NoAddressError               409  there is no address to which a code could be sent
        ├── PasswordRejectedError        422  the new password is too short or too common
        ├── RateLimitedError             429  too many requests; also slowapi's RateLimitExceeded
        └── TemporarilyUnavailableError  503  a store is down or a queue is full

They are ``HTTPException`` subclasses, so they work with no handler installed.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import ClassVar

from fastapi import HTTPException
from slowapi.errors import RateLimitExceeded
from slowapi.wrappers import Limit

NO_STORE = {"Cache-Control": "no-store"}
REALM = 'Bearer realm="piccolo-fastapi-auth"'


def challenge(error: str | None = None, **parameters: str) -> str:
    """Return a ``WWW-Authenticate`` value (RFC 6750 section 3): no ``error`` when no credential came."""
    given = {"error": error, **parameters} if error else parameters
    return ", ".join([REALM, *(f'{name}="{value}"' for name, value in given.items())])


def _waiting(retry_after: timedelta) -> dict[str, str]:
    """Return ``Retry-After`` in whole seconds (RFC 9110 section 10.2.3), rounded up: never too early, never nothing."""
    return {"Retry-After": str(max(1, -(-retry_after // timedelta(seconds=1))))}


class AuthError(HTTPException):
    """A refusal: the root of this library's errors, and what a log-in hook raises to refuse.

    The body is ``{"detail": {"code", "message", ...}}``; ``extra`` members come after those two.
    """

    code: ClassVar[str] = "refused"
    status: ClassVar[int] = 403
    message: ClassVar[str] = "Refused."

    def __init__(
        self,
        message: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, object] | None = None,
    ) -> None:
        body = {"code": self.code, "message": message or self.message, **(extra or {})}
        super().__init__(self.status, detail=body, headers={**self._headers(), **(headers or {})})

    def _headers(self) -> dict[str, str]:
        """Return the headers that this kind of refusal always carries."""
        if self.status == 401:  # noqa: PLR2004 - the status itself is the clearest name
            return {"WWW-Authenticate": challenge(), **NO_STORE}
        return dict(NO_STORE) if self.status == 403 else {}  # noqa: PLR2004 - as above

    @property
    def body(self) -> dict[str, object]:
        """The members of ``detail``."""
        return dict(self.detail) if isinstance(self.detail, Mapping) else {}


class NotAuthenticatedError(AuthError):
    """No credential came with the request."""

    code = "not_authenticated"
    status = 401
    message = "Log in first."


class InvalidCredentialsError(AuthError):
    """The name or the password is wrong, or the account may not log in; never says which."""

    code = "invalid_credentials"
    status = 401
    message = "Wrong username or password."


class MfaRequiredError(AuthError):
    """The password is right and the person has a second factor. The ``mfa_token`` opens nothing but the challenge."""

    code = "mfa_required"
    status = 401
    message = "A second factor is needed."


class InvalidCodeError(AuthError):
    """The one-time code is wrong, or was used before."""

    code = "invalid_code"
    status = 401
    message = "Wrong code."


class MfaTokenExpiredError(AuthError):
    """The challenge is over: too late, too many wrong codes, or answered. Log in again."""

    code = "mfa_token_expired"
    status = 401
    message = "Log in again."


class _BadTokenError(AuthError):
    """A credential came and is not good (RFC 6750 section 3.1)."""

    status = 401

    def _headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": challenge("invalid_token"), **NO_STORE}


class InvalidTokenError(_BadTokenError):
    """The credential is malformed, forged or unknown."""

    code = "invalid_token"
    message = "The token is not valid."


class TokenExpiredError(_BadTokenError):
    """The access token is genuine and too old."""

    code = "token_expired"
    message = "The token has expired."


class TokenReusedError(_BadTokenError):
    """A refresh token was presented again after its successor; its session is ended (RFC 9700 section 4.14.2)."""

    code = "token_reused"
    message = "The token was used before. The session has been ended."


class SessionExpiredError(_BadTokenError):
    """The session has ended: logged out, revoked, expired, or its person may no longer log in."""

    code = "session_expired"
    message = "The session has ended. Log in again."


class ReauthenticationRequiredError(AuthError):
    """The log-in behind the request is too old or too weak for this route (RFC 9470)."""

    code = "reauthentication_required"
    status = 401
    message = "Confirm that it is you, then try again."

    def __init__(
        self, *, max_age: timedelta | None = None, methods: Iterable[str] | None = None
    ) -> None:
        """Say what is missing: a log-in younger than ``max_age``, or one of ``methods`` as second factor."""
        missing: dict[str, object] = {}
        wanted: dict[str, str] = {}
        if max_age is not None:
            missing["max_age"] = int(max_age.total_seconds())
            wanted["max_age"] = str(missing["max_age"])
        if methods is not None:
            missing["methods"] = list(methods)
            wanted["acr_values"] = "mfa"
        header = challenge("insufficient_user_authentication", **wanted)
        super().__init__(headers={"WWW-Authenticate": header}, extra=missing)


class InvalidRequestError(AuthError):
    """The request brings two credentials at once, or cannot be understood (RFC 6750 section 3.1)."""

    code = "invalid_request"
    status = 400
    message = "Send one credential: a cookie or a token, not both."


class InvalidLinkError(AuthError):
    """A link from a mail is not good any more; never says why."""

    code = "invalid_link"
    status = 400
    message = "The link is not valid any more. Ask for a new one."


class CsrfFailedError(AuthError):
    """An unsafe request with a cookie came from a foreign page (OWASP CSRF cheat sheet)."""

    code = "csrf_failed"
    status = 403
    message = "The request came from another site."


class InsufficientScopeError(AuthError):
    """The credential lacks a scope that the route needs (RFC 6750 section 3.1)."""

    code = "insufficient_scope"
    status = 403
    message = "The credential lacks a scope."

    def __init__(self, scopes: Iterable[str]) -> None:
        header = challenge("insufficient_scope", scope=" ".join(scopes))
        super().__init__(headers={"WWW-Authenticate": header})


class CredentialNotAcceptedError(AuthError):
    """The credential is good, and of a kind that this route does not take: an API key where a person must be."""

    code = "credential_not_accepted"
    status = 403
    message = "This kind of credential is not accepted here. Log in."


class ImpersonatingError(AuthError):
    """Somebody acts as somebody else, and this is for the person alone: credentials, sessions, the account."""

    code = "impersonating"
    status = 403
    message = "Not while you act as somebody else."


class TargetNotAllowedError(AuthError):
    """An administrator may not do this to that person: oneself, a peer, a superuser; or grant what one lacks."""

    code = "target_not_allowed"
    status = 403
    message = "You may not do this to this person."


class EmailNotVerifiedError(AuthError):
    """The route needs a verified e-mail address."""

    code = "email_not_verified"
    status = 403
    message = "Verify your e-mail address first."


class MfaEnrolmentRequiredError(AuthError):
    """The route needs a second factor and the person has none."""

    code = "mfa_enrolment_required"
    status = 403
    message = "Set up a second factor first."


class NotFoundError(AuthError):
    """There is no such thing, or it is somebody else's: the two answers are the same."""

    code = "not_found"
    status = 404
    message = "Not found."


class UserExistsError(AuthError):
    """The username or the e-mail address is taken."""

    code = "user_exists"
    status = 409
    message = "That username or e-mail address is taken."


class TooManyKeysError(AuthError):
    """The person has as many API keys as anybody may have."""

    code = "too_many_keys"
    status = 409
    message = "Revoke an API key before you make another."


class AlreadyRolledOverError(AuthError):
    """The API key has its successor: one is all it gets."""

    code = "already_rolled_over"
    status = 409
    message = "This API key was rolled over before."


class ResetUnavailableError(AuthError):
    """This application sends no mails, so a reset cannot be started."""

    code = "reset_unavailable"
    status = 409
    message = "Mails are not set up, so no reset can be started."


class PayloadTooLargeError(AuthError):
    """The body is larger than any of ours needs to be."""

    code = "payload_too_large"
    status = 413
    message = "The body is too large."


class AlreadyEnrolledError(AuthError):
    """The person has as many second factors as anybody may have."""

    code = "already_enrolled"
    status = 409
    message = "Remove a second factor before you add another."


class NoAddressError(AuthError):
    """The account has no address to which a code could be sent."""

    code = "no_address"
    status = 409
    message = "There is no address to send a code to."


class PasswordRejectedError(AuthError):
    """The new password is too short or too common (NIST SP 800-63B-4 section 3.1.1.2)."""

    code = "password_rejected"
    status = 422
    message = "Choose another password."

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message, extra={"reason": reason})


class RateLimitedError(RateLimitExceeded, AuthError):
    """Too many requests (RFC 6585 section 4); waiting exactly ``Retry-After`` is enough.

    It is slowapi's ``RateLimitExceeded`` too, so a handler that an application has for that one gets it.
    """

    code = "rate_limited"
    status = 429
    message = "Too many requests. Try again later."

    def __init__(
        self,
        *,
        retry_after: timedelta,
        limit: Limit | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.limit = limit
        self.retry_after = retry_after
        AuthError.__init__(self, headers={**_waiting(retry_after), **(headers or {})})


class TemporarilyUnavailableError(AuthError):
    """A store is down or a queue is full: nobody is let in, nothing is lost, try again."""

    code = "temporarily_unavailable"
    status = 503
    message = "Try again in a moment."

    def __init__(self, *, retry_after: timedelta = timedelta(seconds=2)) -> None:
        super().__init__(headers={**_waiting(retry_after), **NO_STORE})
