"""Paths about API keys: list, make, roll over, revoke. None of them takes an API key."""

from typing import Generic, TypeVar
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from piccolo_fastapi_auth.api_keys.records import Maker
from piccolo_fastapi_auth.api_keys.schemas import (
    ApiKeyBody,
    ApiKeyOut,
    NewApiKey,
    RollOverBody,
    api_key_out,
    new_api_key_out,
)
from piccolo_fastapi_auth.api_keys.service import ApiKeyService
from piccolo_fastapi_auth.errors import InsufficientScopeError, NotFoundError
from piccolo_fastapi_auth.routing import Guards
from piccolo_fastapi_auth.sessions.authenticator import Authenticator
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)


class ApiKeyRoutes(Generic[UserT]):
    """The routes of the api_keys slice."""

    def __init__(
        self,
        *,
        api_keys: ApiKeyService[UserT],
        authenticator: Authenticator[UserT],
        guards: Guards,
    ) -> None:
        self._api_keys = api_keys
        self._authenticator = authenticator
        self._guards = guards

    def add_to(self, router: APIRouter) -> None:
        """Add the routes."""
        signed_in = [Depends(self._guards.current_user)]
        fresh = [Depends(self._guards.fresh_user)]
        router.add_api_route(
            "/api-keys", self.list_api_keys, methods=["GET"], response_model=list[ApiKeyOut],
            dependencies=signed_in,
        )  # fmt: skip
        router.add_api_route(
            "/api-keys", self.create_api_key, methods=["POST"], status_code=201, response_model=NewApiKey,
            dependencies=fresh,
        )  # fmt: skip
        router.add_api_route(
            "/api-keys/{key_id}/rollover", self.roll_over, methods=["POST"], status_code=201,
            response_model=NewApiKey, dependencies=fresh, name="roll_over_api_key",
        )  # fmt: skip
        router.add_api_route(
            "/api-keys/{key_id}", self.revoke_api_key, methods=["DELETE"], status_code=204,
            dependencies=signed_in,
        )  # fmt: skip

    async def list_api_keys(self, request: Request) -> list[ApiKeyOut]:
        """List the person's keys, newest first."""
        user_id = (await self._authenticator.required(request)).session.user_id
        return [api_key_out(one) for one in await self._api_keys.of_user(user_id)]

    async def create_api_key(self, request: Request, body: ApiKeyBody) -> NewApiKey:
        """Make a key. Its text is shown this once. Needs a fresh log-in, and that you hold each scope."""
        maker, scopes = await self._maker(request), tuple(dict.fromkeys(body.scopes))
        if not set(scopes) <= set(maker.scopes):
            raise InsufficientScopeError(scopes)
        return new_api_key_out(
            await self._api_keys.make(
                maker, name=body.name, scopes=scopes, expires_at=body.expires_at
            )
        )

    async def roll_over(
        self, request: Request, key_id: UUID, body: RollOverBody | None = None
    ) -> NewApiKey:
        """Make the successor of a key; the old one goes on for the overlap. Needs a fresh log-in."""
        overlap = (body or RollOverBody()).duration
        made = await self._api_keys.roll_over(await self._maker(request), key_id, overlap=overlap)
        return new_api_key_out(made)

    async def revoke_api_key(self, request: Request, key_id: UUID) -> Response:
        """Revoke a key. It is refused on its next request."""
        user_id = (await self._authenticator.required(request)).session.user_id
        if not await self._api_keys.revoke(key_id, user_id=user_id):
            raise NotFoundError
        return Response(status_code=204)

    async def _maker(self, request: Request) -> Maker:
        """Take the owner from the session, never from the body."""
        identity = await self._authenticator.required(request)
        scopes = await self._authenticator.scopes(request, identity)
        return Maker(
            identity.session.user_id, identity.session.id, identity.session.methods, scopes
        )
