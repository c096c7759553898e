"""Tokens of an identity provider (Keycloak, Auth0, Entra ...) as credentials: ``Auth(backends=[ExternalIssuer(...)])``."""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Generic, TypeVar

from fastapi.security import HTTPBearer
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection

from piccolo_fastapi_auth.authenticated import Authenticated
from piccolo_fastapi_auth.errors import InvalidTokenError, TokenExpiredError
from piccolo_fastapi_auth.issuer_keys import IssuerKeys
from piccolo_fastapi_auth.primitives import foreign_jwt, jwt_claims
from piccolo_fastapi_auth.primitives.clock import Clock, utc_now
from piccolo_fastapi_auth.primitives.foreign_jwt import ForeignAlgorithm
from piccolo_fastapi_auth.primitives.jwt import InvalidJwtError
from piccolo_fastapi_auth.sessions.amr import from_amr
from piccolo_fastapi_auth.transport import bearer_token
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)
Claims = Mapping[str, object]
UserOf = Callable[[Claims], UserT | Awaitable[UserT | None] | None]

_ALGORITHMS: tuple[ForeignAlgorithm, ...] = ("RS256", "ES256")


class ExternalIssuer(Generic[UserT]):
    """Verifies the JWTs of one issuer by its public keys. Nothing is fetched before the first token comes.

    Args:
        issuer: Its URL, exactly as in ``iss``; https, except on localhost.
        audience: What ``aud`` must hold: the name of this application at the issuer.
        user_of: Finds the person that claims speak of, sync or async; ``None`` refuses. Match by ``sub``: an
            address may change hands.
        jwks_url: Where the keys are; found by OpenID Connect Discovery when left out.
        algorithms: ``RS256``, ``ES256`` or both.
        scope_claim: The claim that bounds the person's scopes, where it is there: ``scope``, ``scp``. ``None``
            gives all scopes that the person has here.
        clock: As that of ``Auth``.

    Raises:
        ValueError: A URL is not https, or an algorithm is another one.
    """

    def __init__(
        self,
        *,
        issuer: str,
        audience: str,
        user_of: UserOf[UserT],
        jwks_url: str | None = None,
        algorithms: Sequence[ForeignAlgorithm] = _ALGORITHMS,
        scope_claim: str | None = "scope",
        clock: Clock = utc_now,
    ) -> None:
        if not algorithms or not set(algorithms) <= set(_ALGORITHMS):
            raise ValueError("an external issuer signs with RS256 or ES256")
        self.scheme: SecurityBase | None = HTTPBearer(
            scheme_name="external_issuer", bearerFormat="JWT", description=f"A token of {issuer}"
        )
        self._issuer = issuer
        self._audience = audience
        self._user_of = user_of
        self._scope_claim = scope_claim
        self._clock = clock
        self._keys = IssuerKeys(issuer, jwks_url, algorithms=tuple(algorithms), clock=clock)

    def credential(self, connection: HTTPConnection) -> str | None:
        """Return the bearer token, if it says that it is from this issuer."""
        token = bearer_token(connection)
        if token is None or foreign_jwt.claimed_issuer(token) != self._issuer:
            return None
        return token

    async def authenticate(
        self, credential: str, connection: HTTPConnection
    ) -> Authenticated[UserT]:
        """Return whom a token speaks of.

        Raises:
            TokenExpiredError: It is genuine and too old.
            InvalidTokenError: It is not good, or speaks of nobody here.
            TemporarilyUnavailableError: The issuer's keys cannot be had.
        """
        del connection
        claims = await self._verified(credential)
        found = self._user_of(claims)
        user = await found if inspect.isawaitable(found) else found
        if user is None:
            raise InvalidTokenError
        return Authenticated(
            transport="external",
            user=user,
            scopes=self._scopes(claims),
            methods=from_amr(_texts(claims.get("amr"))),
            email_verified=claims.get("email_verified") is True
            and str(claims.get("email")).casefold() == user.email,
            authenticated_at=_moment(claims.get("auth_time")),
            expires_at=_moment(claims.get("exp")),
            credential_id=f"{self._issuer} {claims['sub']}",
        )

    async def _verified(self, token: str) -> Claims:
        try:
            try:
                return self._verify(token, await self._keys.current())
            except foreign_jwt.UnknownKeyError:
                return self._verify(token, await self._keys.newer())
        except foreign_jwt.ForeignExpiredError:
            raise TokenExpiredError from None
        except InvalidJwtError:
            raise InvalidTokenError from None

    def _verify(self, token: str, keys: Mapping[str, foreign_jwt.PublicKey]) -> Claims:
        return foreign_jwt.verify(
            token, keys=keys, issuer=self._issuer, audience=self._audience, now=self._clock()
        )

    def _scopes(self, claims: Claims) -> tuple[str, ...] | None:
        if self._scope_claim is None or self._scope_claim not in claims:
            return None
        value = claims[self._scope_claim]
        return tuple(value.split()) if isinstance(value, str) else _texts(value)


def _texts(value: object) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, list) else ()


def _moment(value: object) -> datetime | None:
    try:
        return jwt_claims.moment(value)
    except ValueError:
        return None
