"""OpenTelemetry, where its API package is installed (FastAPI brings it); without an SDK every call does nothing."""

import functools
from collections.abc import Awaitable, Callable
from typing import Final, ParamSpec, TypeVar

from piccolo_fastapi_auth.audit.event import Event
from piccolo_fastapi_auth.errors import AuthError

try:
    from opentelemetry import metrics, trace
except ImportError:  # pragma: no cover - an older FastAPI, which does not bring it
    HAS_API = False
else:
    HAS_API = True

P = ParamSpec("P")
T = TypeVar("T")

NAME: Final = "piccolo_fastapi_auth"


class Telemetry:
    """The counter ``auth.events`` and the notes on spans."""

    def __init__(self) -> None:
        # The API hands out a proxy: it counts as soon as an SDK is set up, also when that comes later.
        self._counter = HAS_API and metrics.get_meter(NAME).create_counter(
            "auth.events", description="What happened to accounts, sessions and credentials."
        )

    def count(self, event: Event) -> None:
        """Count an event, and note it on the span of the request."""
        if not self._counter:
            return
        attributes = {"auth.action": event.action, "auth.outcome": event.outcome}
        self._counter.add(1, attributes)
        trace.get_current_span().add_event(event.action, attributes)


def is_traced() -> bool:
    """Say whether the application has set up somewhere for spans to go."""
    return HAS_API and not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def put_span(owner: object, method: str, *, name: str) -> None:
    """Put a span round a method of one object, once.

    From outside and at the start, so that who traces nothing pays nothing: the look-up is on every request. The
    span knows how long it took and the code of a refusal; no argument, and no text of an exception, which may
    hold what somebody typed.
    """
    if method not in vars(owner):
        setattr(owner, method, _spanned(getattr(owner, method), name))


def _spanned(inner: Callable[P, Awaitable[T]], name: str) -> Callable[P, Awaitable[T]]:
    tracer = trace.get_tracer(NAME)

    @functools.wraps(inner)
    async def call(*args: P.args, **kwargs: P.kwargs) -> T:
        with tracer.start_as_current_span(
            name, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                return await inner(*args, **kwargs)
            except AuthError as refusal:
                span.set_attribute("auth.code", refusal.code)
                raise
            except BaseException:
                span.set_status(trace.StatusCode.ERROR)
                raise

    return call
