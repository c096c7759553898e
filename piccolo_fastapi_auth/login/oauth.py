"""The token endpoint's own language: RFC 6749's errors instead of ours."""

from typing import cast

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from piccolo_fastapi_auth.errors import NO_STORE, AuthError
from piccolo_fastapi_auth.routing import Handler, SafeRoute

_INVALID_GRANT = {
    "invalid_credentials",
    "invalid_code",
    "mfa_token_expired",
    "invalid_token",
    "token_expired",
    "token_reused",
    "session_expired",
}


class UnsupportedGrantTypeError(AuthError):
    """The grant type is neither ``password`` nor ``refresh_token`` (RFC 6749 section 5.2)."""

    code = "unsupported_grant_type"
    status = 400
    message = "grant_type must be password or refresh_token."


class InvalidScopeError(AuthError):
    """A scope was asked for that the application does not declare (RFC 6749 section 5.2)."""

    code = "invalid_scope"
    status = 400
    message = "An unknown scope was asked for."


class OAuthRoute(SafeRoute):
    """A route that refuses as RFC 6749 section 5.2 says: ``{error, error_description}``, mostly 400."""

    def get_route_handler(self) -> Handler:
        """Wrap the safe handler."""
        inner = super().get_route_handler()

        async def handler(request: Request) -> Response:
            try:
                response = await inner(request)
            except AuthError as error:
                return oauth_refusal(error)
            if response.status_code == 422:  # noqa: PLR2004 - SafeRoute's answer to a wrong shape
                return _refusal("invalid_request", "A parameter is missing or malformed.", 400, {})
            return response

        return handler


def oauth_refusal(error: AuthError) -> Response:
    """Say an ``AuthError`` in RFC 6749's words."""
    if error.code in _INVALID_GRANT:
        return _refusal("invalid_grant", error.message, 400, {})
    more = {name: value for name, value in error.body.items() if name not in {"code", "message"}}
    headers = {
        name: value for name, value in (error.headers or {}).items() if name != "WWW-Authenticate"
    }
    # 401 would speak of the client's own credentials (RFC 6749 section 5.2).
    status = 403 if error.code == "mfa_required" else error.status_code
    return _refusal(error.code, cast("str", error.body["message"]), status, headers, **more)


def _refusal(
    code: str, description: str, status: int, headers: dict[str, str], **more: object
) -> Response:
    body = {"error": code, "error_description": description, **more}
    return JSONResponse(body, status, headers={**headers, **NO_STORE})
