"""Paths about tokens for other services: introspection, and the server's metadata."""

from collections.abc import Iterable
from typing import Annotated, Generic, TypeVar

from fastapi import APIRouter, Form, Request, Response, Security
from fastapi.responses import JSONResponse

from piccolo_fastapi_auth.oauth import metadata
from piccolo_fastapi_auth.oauth.introspection import Introspector
from piccolo_fastapi_auth.oauth.schemas import Introspection
from piccolo_fastapi_auth.routing import Guards, Text, refuse_repeated
from piccolo_fastapi_auth.settings import AuthSettings
from piccolo_fastapi_auth.users.user import AuthUser

UserT = TypeVar("UserT", bound=AuthUser)

INTROSPECT = "auth:introspect"
METADATA_IS_CACHED = "public, max-age=300"


class OAuthServerRoutes(Generic[UserT]):
    """The routes of the oauth slice."""

    def __init__(
        self,
        *,
        settings: AuthSettings,
        introspector: Introspector[UserT],
        scopes: Iterable[str],
        guards: Guards,
    ) -> None:
        self._settings = settings
        self._introspector = introspector
        self._scopes = tuple(scopes)
        self._guards = guards

    def add_to(self, router: APIRouter, *, well_known: APIRouter) -> None:
        """Add the routes; that of the metadata only if the issuer is a URL, which then says where."""
        router.add_api_route(
            "/token/introspect", self.introspect, methods=["POST"], response_model=Introspection,
            response_model_exclude_none=True, dependencies=[Security(self._guards.machine, scopes=[INTROSPECT])],
        )  # fmt: skip
        path = metadata.path_of(self._settings.issuer)
        if path is not None:
            well_known.add_api_route(
                path, self.get_metadata, methods=["GET"], response_model=dict[str, object]
            )

    async def introspect(
        self,
        request: Request,
        token: Annotated[Text, Form(max_length=8192)],
        token_type_hint: Annotated[Text | None, Form(max_length=64)] = None,
    ) -> Introspection:
        """Say whether a token is good right now (RFC 7662), to an API key or static token with `auth:introspect`."""
        await refuse_repeated(request)
        del token_type_hint  # as for revocation: no two kinds can be mistaken for each other
        return await self._introspector.look(token)

    async def get_metadata(self) -> Response:
        """Describe this authorization server (RFC 8414)."""
        return JSONResponse(
            metadata.describe(self._settings, scopes=self._scopes),
            headers={"Cache-Control": METADATA_IS_CACHED},
        )
