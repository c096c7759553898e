"""Spare everybody else the time-out: after one failure a store is left alone for a while. No I/O."""

from datetime import datetime, timedelta

from piccolo_fastapi_auth.primitives.clock import Clock


class CircuitBreaker:
    """Lets calls through until one fails; then one probe at a time, at growing intervals, until one succeeds."""

    def __init__(
        self,
        *,
        clock: Clock,
        shortest: timedelta = timedelta(seconds=1),
        longest: timedelta = timedelta(seconds=5),
    ) -> None:
        self._clock = clock
        self._shortest = shortest
        self._longest = longest
        self._pause = shortest
        self._left_alone_until: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Whether the last call failed."""
        return self._left_alone_until is not None

    def may_call(self) -> bool:
        """Say whether to try; while the store is failing, only one caller per interval hears yes."""
        if self._left_alone_until is None:
            return True
        now = self._clock()
        # A moment further away than any pause means that the clock was set back.
        if now < self._left_alone_until <= now + self._longest:
            return False
        self._pause = min(self._pause * 2, self._longest)
        self._left_alone_until = now + self._pause  # the others wait for this one's answer
        return True

    def succeeded(self) -> None:
        """Note that the store answers."""
        self._left_alone_until = None
        self._pause = self._shortest

    def failed(self) -> None:
        """Note that the store does not answer."""
        self._left_alone_until = self._clock() + self._pause

    @property
    def retry_after(self) -> timedelta:
        """How long until the next probe; at least a second."""
        left = (
            timedelta()
            if self._left_alone_until is None
            else self._left_alone_until - self._clock()
        )
        return max(left, timedelta(seconds=1))
