"""The OpenAPI document: it says how to bring a credential, and what every refusal looks like."""

import json
import re
from collections.abc import Iterator
from typing import Annotated, Any, Final

import pytest
from fastapi import Depends, FastAPI
from pydantic import BaseModel

from piccolo_fastapi_auth import Auth, AuthSettings, User
from piccolo_fastapi_auth.users.scopes import OWN
from tests.fixtures import SCOPES, SECRET, make_app

Json = dict[str, Any]
REFUSALS: Final = {"401", "403", "409", "422", "429", "503"}
OF_SESSIONS: Final = ("auth_password", "auth_bearer", "auth_cookie")
SCHEMES: Final = (*OF_SESSIONS, "auth_api_key")
# Whatever is not named here asks for a credential. A new route that is not named is a failure.
PUBLIC: Final = {
    ("post", "/auth/register"),
    ("post", "/auth/email/verify/request"),
    ("post", "/auth/email/verify"),
    ("post", "/auth/email/change/undo"),
    ("post", "/auth/password/forgot"),
    ("post", "/auth/password/reset"),
    ("post", "/auth/login"),
    ("post", "/auth/mfa/verify"),
    ("post", "/auth/token"),
    ("post", "/auth/token/revoke"),
    ("post", "/auth/refresh"),
    ("post", "/auth/logout"),
    ("get", "/.well-known/jwks.json"),
    ("get", "/public"),
    ("post", "/public"),
}
SCOPED: Final = {("get", "/posts"): ["posts:read"], ("post", "/posts"): ["posts:write"]}


@pytest.fixture(scope="module")
def document() -> Json:
    """What ``/openapi.json`` serves. It needs no database."""
    return make_app(Auth(AuthSettings(secret_keys=[SECRET]), scopes=SCOPES)).openapi()


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    """Every operation with its method and path."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method, path, operation


def ours(document: Json) -> list[tuple[str, str, Json]]:
    """The operations of the library."""
    found = [one for one in operations(document) if one[1].startswith(("/auth/", "/.well-known/"))]
    assert len(found) > 20
    return found


def resolved(document: Json, schema: Json) -> Json:
    """Follow a reference."""
    name = schema.get("$ref", "").removeprefix("#/components/schemas/")
    return dict(document["components"]["schemas"][name]) if name else schema


def body_schema(document: Json, operation: Json, status: str) -> Json:
    """The schema of an answer's body."""
    content = operation["responses"][status]["content"]["application/json"]
    return resolved(document, content["schema"])


def test_every_operation_is_protected_unless_it_is_on_the_list(document: Json) -> None:
    """AUZ-1, API-4: exactly the listed ones are public; each other offers what it takes, ours no API key."""
    own = [(method, path) for method, path, _ in ours(document)]
    for method, path, operation in operations(document):
        scopes = SCOPED.get((method, path), [])
        if path.startswith("/auth/admin/"):
            powers = ["auth:admin", "auth:impersonate"]
            scopes = powers if path.endswith("/impersonate") else powers[:1]
        schemes = OF_SESSIONS if (method, path) in own else SCHEMES
        offered = [] if (method, path) in PUBLIC else [{scheme: scopes} for scheme in schemes]
        if path == "/auth/token/introspect":
            offered = [{"auth_api_key": ["auth:introspect"]}]
        assert operation.get("security", []) == offered, (method, path)
    assert {(method, path) for method, path, _ in operations(document)} >= PUBLIC


def test_the_schemes_are_what_they_are_called(document: Json) -> None:
    """The password flow leads to our token endpoint with the declared scopes; the cookie has its full name."""
    schemes = document["components"]["securitySchemes"]
    password, token, cookie, api_key = (schemes[one] for one in SCHEMES)

    assert password["type"] == "oauth2"
    assert password["flows"]["password"]["scopes"] == {**SCOPES, **OWN}
    assert password["flows"]["password"]["tokenUrl"] == "auth/token"
    assert password["flows"]["password"]["refreshUrl"] == "auth/token"
    assert (token["type"], token["scheme"]) == ("http", "bearer")
    assert cookie == {"type": "apiKey", "in": "cookie", "name": "__Host-session"}
    assert api_key == {"type": "apiKey", "in": "header", "name": "X-API-Key"}


def test_every_refusal_of_ours_has_a_body(document: Json) -> None:
    """401, 403, 409, 422, 429 and 503, each with a code; at the token endpoint in RFC 6749's words."""
    for method, path, operation in ours(document):
        assert set(operation["responses"]) >= REFUSALS, (method, path)
        for status in REFUSALS:
            schema = body_schema(document, operation, status)
            if path == "/auth/token":
                assert schema["required"] == ["error", "error_description"], status
            elif status != "422":
                detail = resolved(document, schema["properties"]["detail"])
                assert detail["required"] == ["code", "message"], (method, path, status)


def test_waiting_is_documented(document: Json) -> None:
    """429 and 503 say when to come back."""
    for method, path, operation in ours(document):
        if path != "/auth/token":
            for status in ("429", "503"):
                headers = operation["responses"][status]["headers"]
                assert set(headers) == {"Retry-After"}, (method, path, status)


def test_the_body_of_422_is_ours(document: Json) -> None:
    """AUD-3: no ``input`` and no ``ctx``, which would echo a password; FastAPI's own shape is nowhere on our routes."""
    for method, path, operation in ours(document):
        if path == "/auth/token":
            continue
        schema = body_schema(document, operation, "422")
        shape, problem = schema["properties"]["detail"]["anyOf"]
        item = resolved(document, shape["items"])
        assert set(item["properties"]) == {"type", "loc", "msg"}, (method, path)
        assert resolved(document, problem)["required"] == ["code", "message"]


def test_operation_ids_are_unique_and_readable(document: Json) -> None:
    """Generated clients get methods with names such as ``log_in``."""
    names = [operation["operationId"] for _, _, operation in operations(document)]
    own = [operation["operationId"] for _, _, operation in ours(document)]

    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+){0,3}", name) for name in own), own
    assert {"log_in", "refresh", "log_out", "get_session", "list_sessions"} <= set(own)


def test_the_applications_protected_routes_document_401_and_403(document: Json) -> None:
    """A route gets them with its guard; a public one does not."""
    for method, path, operation in operations(document):
        if not path.startswith(("/auth/", "/.well-known/")):
            documented = {"401", "403"} & set(operation["responses"])
            assert documented == (set() if (method, path) in PUBLIC else {"401", "403"}), path


def test_secrets_have_no_example_and_passwords_are_hidden(document: Json) -> None:
    """AUD-3: no example value anywhere; a password is a password field that is only written."""
    text = str(document)
    assert "'example'" not in text
    assert "'examples'" not in text
    for name, schema in document["components"]["schemas"].items():
        for field, shape in schema.get("properties", {}).items():
            if field.endswith("password"):
                kinds = [shape, *shape.get("anyOf", [])]
                assert any(
                    kind.get("format") == "password" and kind.get("writeOnly") for kind in kinds
                ), (name, field)


def test_without_install_the_password_flow_is_still_there() -> None:
    """``install`` is optional, and harmless twice; another prefix names its schemes after itself."""
    auth = Auth(AuthSettings(secret_keys=[SECRET], prefix="/api/v1/staff"), user_table=User)
    app = FastAPI()
    app.include_router(auth.router)

    @app.get("/here")
    async def here(_: Annotated[User, Depends(auth.current_user)]) -> None:
        return None

    document = app.openapi()
    assert document["paths"]["/here"]["get"]["security"] == [{"api_v1_staff_password": []}]
    scheme = document["components"]["securitySchemes"]["api_v1_staff_password"]
    assert scheme["flows"]["password"]["tokenUrl"] == "api/v1/staff/token"
    auth.install(app)
    auth.install(app)
    app.openapi_schema = None
    offered = app.openapi()["paths"]["/here"]["get"]["security"]
    assert [next(iter(one)) for one in offered] == [
        "api_v1_staff_password", "api_v1_staff_bearer", "api_v1_staff_cookie", "api_v1_staff_api_key",
    ]  # fmt: skip


def test_every_reference_has_its_schema_beside_a_model_of_the_same_name() -> None:
    """FastAPI renames both models when an application has one of ours; no reference dangles."""

    class ProblemResponse(BaseModel):
        """The application's own."""

        title: str

    auth = Auth(AuthSettings(secret_keys=[SECRET]), user_table=User)
    app = make_app(auth)
    app.get("/own", response_model=ProblemResponse)(lambda: None)

    document = app.openapi()
    names = re.findall(r'"\$ref": "#/components/schemas/([^"]+)"', json.dumps(document))

    assert set(names) <= document["components"]["schemas"].keys()
    assert "ProblemResponse" in names
    assert sum(name.endswith("__ProblemResponse") for name in names) >= 2
