"""What ``install`` adds to the OpenAPI document: the other ways to bring a credential, and the refusals."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from fastapi import FastAPI

Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class SchemeNames:
    """The names of the security schemes of one ``Auth``; the prefix keeps two of them apart."""

    password: str
    bearer: str
    cookie: str

    @classmethod
    def of(cls, prefix: str) -> "SchemeNames":
        """Return the names that belong to a path prefix: ``/auth`` gives ``auth_password`` ..."""
        stem = prefix.strip("/").replace("/", "_") or "root"
        return cls(f"{stem}_password", f"{stem}_bearer", f"{stem}_cookie")


def describe(app: FastAPI, names: SchemeNames, *, cookie: str) -> None:
    """Make ``app.openapi()`` offer bearer token and cookie wherever the password flow is offered.

    A guard is one dependency node for speed, and FastAPI documents one scheme a node.
    """
    extend(app, lambda schema: _add_alternatives(schema, names, cookie))


def extend(app: FastAPI, add: Callable[[Json], None]) -> None:
    """Let ``add`` write into the document; it is called each time, on what FastAPI keeps, so once must be enough."""
    inner = cast("Callable[[], Json]", app.openapi)

    def openapi() -> Json:
        schema = inner()
        add(schema)
        return schema

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI documents this as its extension point


def _add_alternatives(schema: Json, names: SchemeNames, cookie: str) -> None:
    components = cast("dict[str, Json]", schema.setdefault("components", {}))
    schemes = components.setdefault("securitySchemes", {})
    if names.bearer in schemes:  # FastAPI keeps the document: it was described before
        return
    schemes[names.bearer] = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    schemes[names.cookie] = {"type": "apiKey", "in": "cookie", "name": cookie}
    paths = cast("dict[str, dict[str, Json]]", schema.get("paths", {}))
    has_problem = "ProblemResponse" in components.get("schemas", {})
    for item in paths.values():
        for operation in item.values():
            _describe_operation(operation, names, has_problem=has_problem)


def _describe_operation(operation: Json, names: SchemeNames, *, has_problem: bool) -> None:
    security = cast("list[dict[str, list[str]]]", operation.get("security", []))
    offered = [entry for entry in security if names.password in entry]
    for entry in offered:
        scopes = entry[names.password]
        security += [{names.bearer: list(scopes)}, {names.cookie: list(scopes)}]
    if offered and has_problem:
        responses = cast("dict[str, object]", operation.setdefault("responses", {}))
        content = {"application/json": {"schema": {"$ref": "#/components/schemas/ProblemResponse"}}}
        for status, text in (
            ("401", "No credential, or not a good one."),
            ("403", "The credential is not enough."),
        ):
            responses.setdefault(status, {"description": text, "content": content})
