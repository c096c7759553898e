"""Which route is protected by what: for a look at the whole application, and for refusing to start with a hole (AUZ-1)."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, cast

from fastapi.dependencies.models import Dependant
from fastapi.routing import RouteContext, iter_route_contexts
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Host, Mount

from piccolo_fastapi_auth.current_user import Public, guard_name
from piccolo_fastapi_auth.routing import SafeRoute

PUBLIC: Final = "public"
UNPROTECTED: Final = "none"
_WHOLE_TREE: Final = ("*",)


@dataclass(frozen=True, slots=True)
class RouteProtection:
    """A route and what stands before it.

    ``protection`` names the guards, joined by ``+``; it is ``public`` for what is marked so, ``none`` for a hole.
    """

    path: str
    methods: tuple[str, ...]
    protection: str
    scopes: tuple[str, ...]


class UnprotectedRouteError(RuntimeError):
    """Routes are neither protected nor marked ``auth.public``."""

    def __init__(self, holes: Sequence[RouteProtection]) -> None:
        self.routes = tuple(holes)
        listed = "\n".join(f"  {' '.join(row.methods)} {row.path}" for row in holes)
        super().__init__(
            f"Neither protected nor marked with Depends(auth.public):\n{listed}\n"
            "Add a guard, or the mark, or name the path in public=[...]."
        )


def audit_routes(
    app: Starlette, *, strict: bool = False, public: Collection[str] = ()
) -> list[RouteProtection]:
    """Return a row for each route of an application, also of included routers, mounted applications and WebSockets.

    Args:
        app: The application, with all its routes.
        strict: Refuse an application with a hole.
        public: Paths of routes that cannot carry a mark, such as mounted static files. The pages of the
            documentation are public by themselves.

    Raises:
        UnprotectedRouteError: ``strict``, and a route is neither protected nor public.
    """
    rows = list(_rows(app, "", {*public, *_documentation(app, "")}))
    holes = [row for row in rows if row.protection == UNPROTECTED]
    if strict and holes:
        raise UnprotectedRouteError(holes)
    return rows


def _documentation(app: object, prefix: str) -> Iterator[str]:
    for name in ("openapi_url", "docs_url", "redoc_url", "swagger_ui_oauth2_redirect_url"):
        if path := getattr(app, name, None):
            yield prefix + path


def _rows(app: object, prefix: str, public: set[str]) -> Iterator[RouteProtection]:
    routes = cast("Sequence[BaseRoute]", getattr(app, "routes", ()))
    for context in iter_route_contexts(routes):
        route = context.original_route
        if isinstance(route, Mount | Host):
            yield from _below(route, prefix, public)
        else:
            yield _row(context, prefix, public)


def _below(route: Mount | Host, prefix: str, public: set[str]) -> Iterator[RouteProtection]:
    path = prefix + (route.path if isinstance(route, Mount) else "")
    inner = route.app
    if not getattr(inner, "routes", None):  # static files, or an application of another kind
        protection = PUBLIC if path in public else UNPROTECTED
        yield RouteProtection(path, _WHOLE_TREE, protection, ())
        return
    yield from _rows(inner, path, {*public, *_documentation(inner, path)})


def _row(context: RouteContext, prefix: str, public: set[str]) -> RouteProtection:
    path = prefix + (context.path or "")
    calls, scopes = list[Callable[..., object]](), set[str]()
    dependant = cast("Dependant | None", getattr(context, "dependant", None))
    if dependant is not None:
        for node in _nodes(dependant):
            if node.call is not None:
                calls.append(node.call)
            scopes |= set(node.own_oauth_scopes or ())
    guards = list(dict.fromkeys(name for call in calls if (name := guard_name(call))))
    # What of ours has no guard is meant to be open; a test of this library holds the list of those.
    is_ours = isinstance(context.original_route, SafeRoute)
    is_public = is_ours or path in public or any(isinstance(call, Public) for call in calls)
    protection = " + ".join(guards) or (PUBLIC if is_public else UNPROTECTED)
    methods = tuple(sorted(context.methods or ())) or ("WEBSOCKET",)
    return RouteProtection(path, methods, protection, tuple(sorted(scopes)))


def _nodes(dependant: Dependant) -> Iterator[Dependant]:
    for inner in dependant.dependencies:
        yield inner
        yield from _nodes(inner)
