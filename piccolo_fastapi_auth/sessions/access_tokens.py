"""Access tokens of sessions: made from an identity, read back as a ``Principal`` without the database."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from piccolo.columns import BigInt, BigSerial, Column

from piccolo_fastapi_auth.errors import InvalidTokenError, TokenExpiredError
from piccolo_fastapi_auth.primitives.clock import Clock
from piccolo_fastapi_auth.primitives.jwt import (
    AccessClaims,
    ExpiredJwtError,
    InvalidJwtError,
    JwtCodec,
)
from piccolo_fastapi_auth.sessions.amr import WITHOUT_CREDIT, from_amr, is_multi_factor, to_amr
from piccolo_fastapi_auth.sessions.records import Session
from piccolo_fastapi_auth.settings import AuthSettings

UserId = int | UUID | str


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking, and how they signed in.

    From a bearer token it is what the token says: revoked within the access token's life. From a cookie
    or an API key it is what the database says. ``user_id`` is ``None`` for a static token, which is nobody's;
    ``session_id`` is ``None`` for every credential without a session, whose ``credential_id`` names it instead.
    """

    user_id: UserId | None
    session_id: UUID | None
    scopes: tuple[str, ...]
    methods: tuple[str, ...]
    authenticated_at: datetime | None
    expires_at: datetime | None
    transport: str
    credential_id: str | None = None
    multi_factor: bool = False
    actor_id: UserId | None = None
    """Who acts as the person (RFC 8693 ``act``); ``None`` when it is the person."""


class AccessTokens:
    """Signs and reads the access tokens of one ``Auth``."""

    def __init__(
        self,
        settings: AuthSettings,
        *,
        clock: Clock,
        user_key: Column,
        without_credit: frozenset[str] = WITHOUT_CREDIT,
    ) -> None:
        keys = [
            key.get_secret_value().encode() for key in settings.signing_keys
        ] or settings.secrets
        self.codec = JwtCodec(
            algorithm=settings.algorithm,
            keys=keys,
            issuer=settings.issuer,
            audience=settings.audience,
        )
        self._lifetime = settings.access_token_lifetime
        self._clock = clock
        self._without_credit = without_credit
        self._key_type: type[object] = user_key.value_type
        self._keys_below = 2**63 if isinstance(user_key, BigInt | BigSerial) else 2**31

    def is_multi_factor(self, session: Session) -> bool:
        """Say whether two factors were used, as a token of the session would."""
        return is_multi_factor(session.methods, without_credit=self._without_credit)

    def issue(self, session: Session, *, scopes: Sequence[str]) -> tuple[str, int]:
        """Return an access token and its life in seconds; it never outlives its session."""
        now = self._clock().replace(microsecond=0)
        expires_at = min(now + self._lifetime, session.expires_at)
        claims = AccessClaims(
            sub=str(session.user_id),
            sid=session.id,
            jti=uuid4().hex,
            iat=now,
            exp=expires_at.replace(microsecond=0),
            auth_time=session.authenticated_at.replace(microsecond=0),
            amr=to_amr(session.methods, without_credit=self._without_credit),
            scope=tuple(scopes),
            act=None if session.actor_id is None else str(session.actor_id),
        )
        return self.codec.sign(claims), max(0, int((claims.exp - now).total_seconds()))

    def claims(self, token: str, *, even_expired: bool = False) -> AccessClaims:
        """Return the claims of a genuine access token; ``even_expired`` is for ending its session.

        Raises:
            TokenExpiredError: Genuine, and too old.
            InvalidTokenError: Anything else.
        """
        try:
            return self.codec.verify(token, now=self._clock())
        except ExpiredJwtError as error:
            if not even_expired:
                raise TokenExpiredError from None
            return error.claims
        except InvalidJwtError:
            raise InvalidTokenError from None

    def read(self, token: str) -> Principal:
        """Return what a genuine access token says.

        Raises:
            TokenExpiredError: Genuine, and too old.
            InvalidTokenError: Anything else.
        """
        claims = self.claims(token)
        return Principal(
            user_id=self.user_id(claims.sub),
            actor_id=None if claims.act is None else self.user_id(claims.act),
            session_id=claims.sid,
            scopes=claims.scope,
            methods=from_amr(claims.amr),
            authenticated_at=claims.auth_time,
            expires_at=claims.exp,
            transport="bearer",
            multi_factor="mfa" in claims.amr,
        )

    def key(self, text: str) -> UserId | None:
        """Read a primary key from a path; ``None`` for what cannot be one."""
        try:
            key = self.user_id(text)
        except InvalidTokenError:
            return None
        # What does not fit the column is nobody's key, and PostgreSQL would not even compare it.
        return None if isinstance(key, int) and not 0 <= key < self._keys_below else key

    def user_id(self, subject: str) -> UserId:
        """Read ``sub`` as the user table's key type; only the canonical spelling is one of ours."""
        if self._key_type is str:
            return subject
        try:
            key: UserId = UUID(subject) if self._key_type is UUID else int(subject)
        except ValueError:
            raise InvalidTokenError from None
        if str(key) != subject:
            raise InvalidTokenError
        return key
