"""Telling others about an event, once it is certain: logs, OpenTelemetry, and the application's own callables."""

import inspect
import logging
from collections.abc import Awaitable, Callable
from dataclasses import fields
from typing import Final

from piccolo_fastapi_auth.audit.event import ACTIONS, Action, Event
from piccolo_fastapi_auth.audit.telemetry import Telemetry

EventHook = Callable[[Event], Awaitable[None] | None]

logger: Final = logging.getLogger("piccolo_fastapi_auth.audit")


class Delivery:
    """The hooks of one ``Auth``. What goes wrong in one is logged and stops nothing."""

    def __init__(self) -> None:
        self._hooks: list[tuple[Action | None, EventHook]] = []
        self._telemetry = Telemetry()

    def on(self, action: Action | None, hook: EventHook) -> None:
        """Call ``hook`` with every event of that action, or with every event.

        Raises:
            ValueError: There is no such action.
        """
        if action is not None and action not in ACTIONS:
            raise ValueError(f"there is no action {action!r}")
        self._hooks.append((action, hook))

    async def tell(self, event: Event) -> None:
        """Hand an event on."""
        level = logging.INFO if event.outcome == "success" else logging.WARNING
        if logger.isEnabledFor(level):
            logger.log(level, "%s %s", event.action, event.outcome, extra=_as_extra(event))
        self._telemetry.count(event)
        for action, hook in self._hooks:
            if action in {None, event.action}:
                await self._call(hook, event)

    async def _call(self, hook: EventHook, event: Event) -> None:
        try:
            result = hook(event)
            if inspect.isawaitable(result):
                await result
        except Exception:
            # The change is committed: whatever the application's code does, the request has succeeded.
            logger.exception("A hook for %s failed.", event.action)


def _as_extra(event: Event) -> dict[str, object]:
    """Return an event as the attributes of a log record; ``id`` would say too little there."""
    values = {field.name: getattr(event, field.name) for field in fields(event)}
    return {"event_id": values.pop("id"), **values, "detail": dict(event.detail)}
