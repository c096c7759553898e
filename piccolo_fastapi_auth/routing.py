"""What all our routes share: safe refusals, CSRF, no caching, and their place in the OpenAPI document."""

from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Annotated, Any, cast

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StringConstraints
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import Message, Receive, Scope

from piccolo_fastapi_auth.database import unavailable_when_broken
from piccolo_fastapi_auth.errors import AuthError, InvalidRequestError, PayloadTooLargeError
from piccolo_fastapi_auth.origin import serving
from piccolo_fastapi_auth.primitives.passwords import MAX_PASSWORD_LENGTH

MAX_BODY_BYTES = 64 * 1024

Handler = Callable[[Request], Coroutine[None, None, Response]]
Lifespan = Callable[[object], AbstractAsyncContextManager[None]]


def encodable(text: str) -> str:
    """Refuse what a database cannot store: NUL, and halves of surrogate pairs."""
    if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("must be text without NUL and surrogates")
    return text


def _hashable(secret: SecretStr) -> SecretStr:
    """Refuse halves of surrogate pairs, which have no bytes to hash; NUL counts like any character."""
    if any("\ud800" <= character <= "\udfff" for character in secret.get_secret_value()):
        raise ValueError("must be text without surrogates")
    return secret


Text = Annotated[str, StringConstraints(strict=True), AfterValidator(encodable)]
Password = Annotated[
    SecretStr,
    Field(min_length=1, max_length=MAX_PASSWORD_LENGTH, strict=True),
    AfterValidator(_hashable),
]


class Body(BaseModel):
    """A request body: unknown members are refused, so nothing can be assigned by the way."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Problem(BaseModel):
    """Why a request was refused."""

    model_config = ConfigDict(extra="allow")

    code: str = Field(description="Stable; made for programs.")
    message: str = Field(description="Made for people; may change.")


class ProblemResponse(BaseModel):
    """The body of every refusal."""

    model_config = ConfigDict(defer_build=True)  # for the document only

    detail: Problem


PROBLEM_CONTENT = {
    "application/json": {"schema": {"$ref": f"#/components/schemas/{ProblemResponse.__name__}"}}
}


class InvalidInput(BaseModel):
    """One thing that is wrong with a request's shape. Never holds what was sent."""

    type: str
    loc: list[str | int]
    msg: str


class InvalidInputResponse(BaseModel):
    """The body of 422: what is wrong with the shape, or why a password was rejected."""

    model_config = ConfigDict(defer_build=True)  # as above

    detail: list[InvalidInput] | Problem


async def refuse_repeated(request: Request) -> None:
    """Refuse a form that says something twice (RFC 6749 section 3.2): two readers might choose differently.

    Raises:
        InvalidRequestError: It does.
    """
    form = await request.form()
    if len(form.multi_items()) != len(form):
        raise InvalidRequestError("A parameter came twice.")


def validation_details(error: RequestValidationError) -> list[dict[str, object]]:
    """Return what is wrong with a request without ``input`` and ``ctx``, which would echo a password."""
    return [{"type": e["type"], "loc": list(e["loc"]), "msg": e["msg"]} for e in error.errors()]


def _bounded(receive: Receive) -> Receive:
    """Stop reading a body that is larger than any of ours; with the code that FastAPI's own bound lacks."""
    read = 0

    async def bounded() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > MAX_BODY_BYTES:
            raise PayloadTooLargeError
        return message

    return bounded


def _in_our_shape(error: HTTPException) -> HTTPException:
    """Give a refusal its code and keep it out of caches; FastAPI says 400 in its own words to what it cannot parse."""
    if not isinstance(error, AuthError):
        if error.status_code != 400:  # noqa: PLR2004 - the status itself is the clearest name
            return error
        error = InvalidRequestError("The request cannot be understood.")
    error.headers = {"Cache-Control": "no-store", **(error.headers or {})}
    return error


class SafeRoute(APIRoute):
    """A route whose refusals leak nothing and whose answers are not cached."""

    def get_route_handler(self) -> Handler:
        """Wrap FastAPI's handler."""
        inner = cast("Handler", super().get_route_handler())

        async def handler(request: Request) -> Response:
            try:
                with serving(request), unavailable_when_broken():
                    response = await inner(Request(request.scope, _bounded(request.receive)))
            except HTTPException as error:
                raise _in_our_shape(error) from error.__cause__
            except RequestValidationError as error:
                response = JSONResponse({"detail": validation_details(error)}, 422)
            response.headers.setdefault("Cache-Control", "no-store")
            return response

        return handler


class QuickRouter(APIRouter):
    """A router that sees at one glance that a request is not for it.

    FastAPI asks every route of an included router in turn; the application's own routes, where they come later,
    would pay for all of ours on each request.
    """

    def __init__(self, *, marks: Sequence[str], **options: Any) -> None:  # APIRouter's own options
        super().__init__(**options)
        self._marks = tuple(marks)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Look for the text that is in each of this router's paths, before any route is asked."""
        path = scope.get("path", "")
        if not any(mark in path for mark in self._marks):
            return Match.NONE, {}
        return super().matches(scope)


_REFUSALS = {
    400: "Two credentials at once, or a malformed request.",
    401: "No credential, or not a good one.",
    403: "The credential is good and not enough, or the request came from another site.",
    404: "No such thing, or somebody else's.",
    409: "The name or the address is taken.",
    413: "The body is too large.",
    429: "Too many requests.",
    503: "A store is down or a queue is full.",
}


def new_router(
    route_class: type[APIRoute] = SafeRoute,
    *,
    prefix: str = "",
    marks: Sequence[str] = (),
    operations: str = "",
    lifespan: Lifespan | None = None,
) -> APIRouter:
    """Return a router for one slice: safe routes, bounded bodies, strict content types, refusals documented.

    ``operations`` goes in front of the operation ids, so that two ``Auth`` objects in one document differ.
    """
    # FastAPI makes a field of each model of each route, each time it is included: two thirds of the start. So one
    # status has the model, which brings its schema into the document, and the others point at that.
    responses: dict[int | str, dict[str, object]] = {
        status: {"content": PROBLEM_CONTENT, "description": text}
        for status, text in _REFUSALS.items()
    }
    responses[400] = {"model": ProblemResponse, "description": _REFUSALS[400]}
    for status in (429, 503):
        responses[status]["headers"] = {
            "Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}
        }
    responses[422] = {"model": InvalidInputResponse, "description": "The request's shape is wrong."}
    return QuickRouter(
        marks=marks or [f"{prefix}/"],
        prefix=prefix,
        tags=["auth"],
        lifespan=lifespan,
        route_class=route_class,
        responses=responses,
        strict_content_type=True,
        generate_unique_id_function=lambda route: f"{operations}{route.name}",
    )


@dataclass(frozen=True, slots=True)
class Guards:
    """The dependencies that our own routes hang on.

    ``signed_in`` is for what a person may do who must still set up a second factor; elsewhere
    ``current_user``, or ``fresh_user`` where the log-in must be fresh. ``machine`` is for programs.
    """

    signed_in: Callable[..., object]
    current_user: Callable[..., object]
    fresh_user: Callable[..., object]
    admin: Callable[..., object]
    machine: Callable[..., object]
    human: tuple[Callable[..., object], ...] = ()
    """Stands before routes that strangers can call; empty without a CAPTCHA."""
    human_password: tuple[Callable[..., object], ...] = ()
    """The same for the token endpoint, where only a password needs it."""
