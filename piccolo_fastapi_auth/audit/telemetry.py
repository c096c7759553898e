"""OpenTelemetry, where its API package is installed (FastAPI brings it); without an SDK every call does nothing."""

from typing import Final

from piccolo_fastapi_auth.audit.event import Event

try:
    from opentelemetry import metrics, trace
except ImportError:  # pragma: no cover - an older FastAPI, which does not bring it
    HAS_API = False
else:
    HAS_API = True

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
