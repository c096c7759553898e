"""Whether a token of ours is good right now (RFC 7662)."""

from datetime import datetime
from typing import Generic, TypeVar

from piccolo_fastapi_auth.api_keys.service import ApiKeyService
from piccolo_fastapi_auth.authenticated import Authenticated
from piccolo_fastapi_auth.errors import AuthError, TemporarilyUnavailableError
from piccolo_fastapi_auth.oauth.schemas import Introspection
from piccolo_fastapi_auth.primitives.clock import Clock
from piccolo_fastapi_auth.primitives.jwt import AccessClaims
from piccolo_fastapi_auth.sessions.access_tokens import AccessTokens
from piccolo_fastapi_auth.sessions.records import Assurance, Identity
from piccolo_fastapi_auth.sessions.service import SessionService
from piccolo_fastapi_auth.settings import AuthSettings
from piccolo_fastapi_auth.transport import API_KEY_START
from piccolo_fastapi_auth.users.scopes import Scopes
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)

INACTIVE = Introspection(active=False)


class Introspector(Generic[UserT]):
    """Looks at access tokens, refresh tokens and API keys as a guard would, and changes none."""

    def __init__(
        self,
        settings: AuthSettings,
        *,
        sessions: SessionService[UserT],
        tokens: AccessTokens,
        api_keys: ApiKeyService[UserT],
        scopes: Scopes[UserT],
        assurance: Assurance[UserT],
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._sessions = sessions
        self._tokens = tokens
        self._api_keys = api_keys
        self._scopes = scopes
        self._assurance = assurance
        self._clock = clock

    async def look(self, token: str) -> Introspection:
        """Return what is known of a token.

        Raises:
            TemporarilyUnavailableError: The store cannot answer; a token is never inactive for that.
        """
        try:
            return await self._look(token)
        except TemporarilyUnavailableError:
            raise
        except AuthError:
            return INACTIVE

    async def _look(self, token: str) -> Introspection:
        if token.startswith(API_KEY_START):
            return await self._api_key(await self._api_keys.authenticate(token))
        identity = await self._sessions.by_refresh_token(token)
        if identity is not None:
            return await self._of_session(identity, expires_at=identity.session.expires_at)
        claims = self._tokens.claims(token)
        identity = await self._sessions.find.by_id(claims.sid, now=self._clock())
        if identity is None or str(identity.session.user_id) != claims.sub:
            return INACTIVE
        return await self._of_session(identity, expires_at=claims.exp, claims=claims)

    async def _of_session(
        self,
        identity: Identity[UserT],
        *,
        expires_at: datetime,
        claims: AccessClaims | None = None,
    ) -> Introspection:
        await self._assurance.check_policy(identity)
        held = await self._scopes.of(identity.user, within=identity.session.scope)
        begun = identity.session.created_at if claims is None else claims.iat
        granted = [scope for scope in held if claims is None or scope in claims.scope]
        return Introspection(
            active=True,
            scope=" ".join(granted),
            username=identity.user.username,
            token_type=None if claims is None else "Bearer",
            exp=int(expires_at.timestamp()),
            iat=int(begun.timestamp()),
            sub=str(identity.session.user_id),
            aud=self._settings.audience,
            iss=self._settings.issuer,
            jti=None if claims is None else claims.jti,
            sid=str(identity.session.id),
        )

    async def _api_key(self, found: Authenticated[UserT]) -> Introspection:
        await self._assurance.check_policy(found)
        user, ends = found.user, found.expires_at
        if user is None or ends is None:
            return INACTIVE
        return Introspection(
            active=True,
            scope=" ".join(await self._scopes.of(user, within=found.scopes)),
            username=user.username,
            exp=int(ends.timestamp()),
            sub=str(getattr(user, user._meta.primary_key._meta.name)),
            aud=self._settings.audience,
            iss=self._settings.issuer,
            jti=found.credential_id,
        )
