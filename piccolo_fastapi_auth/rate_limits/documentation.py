"""429 in the OpenAPI document, with its headers, wherever a limit stands: route, router, application or middleware."""

from collections.abc import Iterable, Iterator
from typing import Final, cast

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

from piccolo_fastapi_auth.openapi import Json, extend
from piccolo_fastapi_auth.rate_limits.dependencies import RateLimit

_TEXT: Final[Json] = {"type": "string"}
_WHOLE: Final[Json] = {"type": "integer"}
_RETRY_AFTER: Final[dict[str, Json]] = {
    "Retry-After": {"schema": _WHOLE, "description": "Seconds."}
}
_DRAFT: Final[dict[str, Json]] = {
    "RateLimit-Policy": {"schema": _TEXT, "description": "The limits: quota `q` in `w` seconds."},
    "RateLimit": {"schema": _TEXT, "description": "What is left: `r`, for `t` seconds."},
}
_SLOWAPI: Final[dict[str, Json]] = {
    "X-RateLimit-Limit": {"schema": _WHOLE, "description": "The tightest limit."},
    "X-RateLimit-Remaining": {"schema": _WHOLE, "description": "What is left of it."},
    "X-RateLimit-Reset": {"schema": _WHOLE, "description": "When, in seconds since the epoch."},
}
_BODY: Final[Json] = {
    "type": "object",
    "required": ["detail"],
    "properties": {
        "detail": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {"code": {"const": "rate_limited"}, "message": _TEXT},
        }
    },
}


def document_limits(
    app: FastAPI, *, everywhere: RateLimit | None = None, excluded_paths: Iterable[str] = ()
) -> None:
    """Make ``app.openapi()`` declare 429 on each operation that a limit of ours can refuse.

    Args:
        app: Where.
        everywhere: The limit of a middleware, which counts every path.
        excluded_paths: But these.
    """
    excluded = frozenset(excluded_paths)

    def add(schema: Json) -> None:
        limited = dict(_limited(app))
        paths = cast("dict[str, dict[str, Json]]", schema.get("paths", {}))
        for path, item in paths.items():
            for method, operation in item.items():
                whole = everywhere if path not in excluded else None
                if limit := limited.get((method.upper(), path), whole):
                    responses = cast("Json", operation.setdefault("responses", {}))
                    responses.setdefault("429", _response(limit))

    extend(app, add)


def _limited(app: FastAPI) -> Iterator[tuple[tuple[str, str], RateLimit]]:
    """Yield method and path of each route with a limit among its dependencies, included routers too."""
    for route in iter_route_contexts(app.routes):
        dependant: Dependant | None = getattr(route, "dependant", None)
        limit = _first_limit(dependant) if dependant else None
        if limit is not None:
            for method in route.methods or ():
                yield (method, route.path_format or ""), limit


def _first_limit(dependant: Dependant) -> RateLimit | None:
    if isinstance(dependant.call, RateLimit):
        return dependant.call
    found = (_first_limit(one) for one in dependant.dependencies)
    return next((limit for limit in found if limit is not None), None)


def _response(limit: RateLimit) -> Json:
    counting = limit.counting
    headers = dict(_RETRY_AFTER)
    headers |= _DRAFT if counting.headers else {}
    headers |= _SLOWAPI if counting.slowapi_headers else {}
    content = {"application/json": {"schema": _BODY}}
    return {"description": "Too many requests.", "headers": headers, "content": content}
