"""What ``install`` adds to the OpenAPI document: the other ways to bring a credential, and the refusals."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from fastapi import FastAPI
from fastapi.encoders import jsonable_encoder
from fastapi.openapi.models import SecurityBase as SecuritySchemeModel

Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class SchemeNames:
    """The names of the security schemes of one ``Auth``; the prefix keeps two of them apart."""

    password: str
    bearer: str
    cookie: str
    api_key: str

    @classmethod
    def of(cls, prefix: str) -> "SchemeNames":
        """Return the names that belong to a path prefix: ``/auth`` gives ``auth_password`` ..."""
        stem = prefix.strip("/").replace("/", "_") or "root"
        return cls(*(f"{stem}_{kind}" for kind in ("password", "bearer", "cookie", "api_key")))


def describe(
    app: FastAPI,
    names: SchemeNames,
    *,
    cookie: str,
    prefix: str,
    added: Mapping[str, SecuritySchemeModel],
) -> None:
    """Make ``app.openapi()`` offer the other credentials wherever the password flow is offered.

    A guard is one dependency node for speed, and FastAPI documents one scheme a node. ``added`` are the schemes
    of the application's own backends. Our own routes, under ``prefix``, take no credential without a session.
    """
    extend(
        app,
        lambda schema: _add_alternatives(schema, names, cookie=cookie, prefix=prefix, added=added),
    )


def extend(app: FastAPI, add: Callable[[Json], None]) -> None:
    """Let ``add`` write into the document; it is called each time, on what FastAPI keeps, so once must be enough."""
    inner = cast("Callable[[], Json]", app.openapi)

    def openapi() -> Json:
        schema = inner()
        add(schema)
        return schema

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI documents this as its extension point


def _add_alternatives(
    schema: Json,
    names: SchemeNames,
    *,
    cookie: str,
    prefix: str,
    added: Mapping[str, SecuritySchemeModel],
) -> None:
    components = cast("dict[str, Json]", schema.setdefault("components", {}))
    schemes = components.setdefault("securitySchemes", {})
    if names.bearer in schemes:  # FastAPI keeps the document: it was described before
        return
    schemes[names.bearer] = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    schemes[names.cookie] = {"type": "apiKey", "in": "cookie", "name": cookie}
    schemes[names.api_key] = {"type": "apiKey", "in": "header", "name": "X-API-Key"}
    for name, model in added.items():
        schemes[name] = cast("object", jsonable_encoder(model, by_alias=True, exclude_none=True))
    of_sessions = [names.bearer, names.cookie]
    paths = cast("dict[str, dict[str, Json]]", schema.get("paths", {}))
    schemas = components.get("schemas", {})
    for name in [name for name in schemas if name.endswith("__routing__ProblemResponse")]:
        # The application has a model of this name, so FastAPI gave both a long one; our references have the short.
        schemas["ProblemResponse"] = {"$ref": f"#/components/schemas/{name}"}
    has_problem = "ProblemResponse" in schemas
    for path, item in paths.items():
        for operation in item.values():
            is_ours = f"{prefix}/" in path and "auth" in cast(
                "list[str]", operation.get("tags", [])
            )
            others = of_sessions if is_ours else [*of_sessions, names.api_key, *added]
            _describe_operation(operation, names.password, others, has_problem=has_problem)


def _describe_operation(
    operation: Json, password: str, others: Sequence[str], *, has_problem: bool
) -> None:
    security = cast("list[dict[str, list[str]]]", operation.get("security", []))
    offered = [entry for entry in security if password in entry]
    for entry in offered:
        security += [{other: list(entry[password])} for other in others]
    if offered and has_problem:
        responses = cast("dict[str, object]", operation.setdefault("responses", {}))
        content = {"application/json": {"schema": {"$ref": "#/components/schemas/ProblemResponse"}}}
        for status, text in (
            ("400", "Two credentials at once, or a malformed one."),
            ("401", "No credential, or not a good one."),
            ("403", "The credential is not enough."),
            ("503", "A store is down."),
        ):
            responses.setdefault(status, {"description": text, "content": content})
