"""The three ways to count (`limits` calls them strategies). Pure: every moment is an argument, in ms.

All intervals are half open: a hit at 0 s no longer counts at exactly 60 s under ``1/minute``. That is
what makes "wait exactly ``Retry-After``" true to the millisecond. The scripts in ``scripts.py`` do the
same arithmetic inside Redis and Valkey; a test holds the two against each other.
"""

from abc import ABC, abstractmethod
from collections import deque
from typing import Literal, NamedTuple, get_args

Strategy = Literal["sliding-window-counter", "fixed-window", "moving-window"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)


class Reading(NamedTuple):
    """What a counter says."""

    used: int
    wait: int
    """Milliseconds until a hit of the same cost is allowed; 0 when it is allowed now."""
    reset: int
    """Milliseconds until the window ends."""
    token: int
    """Names the window (or moment) of a hit, so that giving back never touches a later one."""


class Window(ABC):
    """One caller's counter. ``filed_under`` and ``rank`` belong to the store that holds it."""

    __slots__ = ("filed_under", "rank")

    def __init__(self) -> None:
        self.filed_under = 0
        self.rank = 0

    @property
    @abstractmethod
    def weight(self) -> int:
        """How much it holds: what is worth keeping when the store is full."""

    @abstractmethod
    def read(self, now: int, amount: int, length: int, cost: int) -> Reading:
        """Say what is used and how long a hit of ``cost`` has to wait."""

    @abstractmethod
    def add(self, now: int, length: int, cost: int) -> None:
        """Count a hit that ``read`` allowed."""

    def hit(self, now: int, amount: int, length: int, cost: int) -> tuple[bool, Reading]:
        """Count a hit, if it is allowed, and read again."""
        reading = self.read(now, amount, length, cost)
        if reading.wait or not cost:
            return not reading.wait, reading
        self.add(now, length, cost)
        return True, self.read(now, amount, length, cost)

    def is_filed(self, amount: int, length: int) -> bool:  # noqa: ARG002 - for those who know it cheaply
        """Say whether it surely stands in its right place in the store."""
        return False

    @abstractmethod
    def give_back(self, now: int, length: int, cost: int, token: int) -> None:
        """Take back a hit, if the window in which it was counted still counts."""

    @abstractmethod
    def expires(self, length: int) -> int:
        """Return the moment from which this counter means nothing."""


class FixedWindow(Window):
    """Counts from the first hit to the end of its window, then starts again."""

    __slots__ = ("count", "ends")

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.ends = 0

    @property
    def weight(self) -> int:
        """The hits in this window."""
        return self.count

    def read(self, now: int, amount: int, length: int, cost: int) -> Reading:
        """Say what is used and how long a hit of ``cost`` has to wait."""
        left = max(self.ends - now, 0)
        used = self.count if left else 0
        wait = 0 if used + cost <= amount else (left or length)
        return Reading(used, wait, left, self.ends)

    def add(self, now: int, length: int, cost: int) -> None:
        """Count a hit."""
        if self.ends <= now:
            self.count, self.ends = 0, now + length
        self.count += cost

    def give_back(self, now: int, length: int, cost: int, token: int) -> None:  # noqa: ARG002 - the window's end is the token
        """Take back a hit of this very window."""
        if self.ends == token:
            self.count = max(self.count - cost, 0)

    def expires(self, length: int) -> int:  # noqa: ARG002 - the end is known
        """Return the end of the window."""
        return self.ends


class SlidingWindow(Window):
    """Two numbers: this window, and the last one, weighed by how much of it is still in view."""

    __slots__ = ("count", "ends", "previous")

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.previous = 0
        self.ends = 0

    @property
    def weight(self) -> int:
        """The hits in this window and the last."""
        return self.previous + self.count

    def roll(self, now: int, length: int) -> int:
        """Move to the window that holds ``now``; return how much of it is left, 0 if there is none."""
        if self.ends > now:
            return self.ends - now
        if self.ends + length > now and self.ends:
            self.previous, self.count, self.ends = self.count, 0, self.ends + length
            return self.ends - now
        self.previous = self.count = self.ends = 0
        return 0

    def read(self, now: int, amount: int, length: int, cost: int) -> Reading:
        """Say what is used and how long a hit of ``cost`` has to wait."""
        left = self.roll(now, length)
        used = self.previous * max(left - 1, 0) // length + self.count
        wait = 0 if used + cost <= amount else self._wait(left, amount, length, cost)
        return Reading(used, wait, left, self.ends)

    def hit(self, now: int, amount: int, length: int, cost: int) -> tuple[bool, Reading]:
        """Count a hit, if it is allowed, and read again: the same in one go, for this is what is hot."""
        left = self.ends - now
        if left <= 0:
            left = self.roll(now, length)
        used = self.count
        if self.previous:
            used += self.previous * max(left - 1, 0) // length
        if used + cost > amount or not cost:
            wait = self._wait(left, amount, length, cost) if cost else 0
            return not wait, Reading(used, wait, left, self.ends)
        if not left:
            left, self.ends = length, now + length
        self.count += cost
        used += cost
        wait = 0 if used + cost <= amount else self._wait(left, amount, length, cost)
        return True, Reading(used, wait, left, self.ends)

    def is_filed(self, amount: int, length: int) -> bool:
        """Say whether neither its end nor its rank has changed: nearly always."""
        is_hot = 2 * (self.previous + self.count) >= amount
        return self.filed_under == (self.ends + length) // 1000 + 1 and self.rank == is_hot

    def _wait(self, left: int, amount: int, length: int, cost: int) -> int:
        """Solve for the first millisecond at which the weight has fallen far enough."""
        if cost > amount:
            return length
        if self.count + cost <= amount:  # it is the last window that is in the way
            in_view = -(-(amount - self.count - cost + 1) * length // self.previous) - 1
            return left - 1 - in_view
        in_view = -(-(amount - cost + 1) * length // self.count)  # of this one, once it is the last
        return left + max(length - in_view, 0)

    def add(self, now: int, length: int, cost: int) -> None:
        """Count a hit."""
        if not self.roll(now, length):
            self.ends = now + length
        self.count += cost

    def give_back(self, now: int, length: int, cost: int, token: int) -> None:
        """Take back a hit, from this window or from the last."""
        self.roll(now, length)
        if token == self.ends:
            self.count = max(self.count - cost, 0)
        elif token == self.ends - length:
            self.previous = max(self.previous - cost, 0)

    def expires(self, length: int) -> int:
        """Return the moment at which this window is out of view as the last one, too."""
        return self.ends + length


class MovingWindow(Window):
    """Remembers every hit, newest first: exact, and the only one whose size grows with the limit."""

    __slots__ = ("hits",)

    def __init__(self) -> None:
        super().__init__()
        self.hits: deque[int] = deque()

    @property
    def weight(self) -> int:
        """The hits in view."""
        return len(self.hits)

    def read(self, now: int, amount: int, length: int, cost: int) -> Reading:
        """Say what is used and how long a hit of ``cost`` has to wait."""
        self._drop(now - length)
        used = len(self.hits)
        wait = 0
        if cost > amount:
            wait = length
        elif used + cost > amount:
            wait = self.hits[amount - cost] + length - now
        reset = self.hits[-1] + length - now if used else 0
        return Reading(used, wait, reset, now)

    def add(self, now: int, length: int, cost: int) -> None:  # noqa: ARG002 - entries carry their own moment
        """Count a hit."""
        self.hits.extendleft([now] * cost)

    def give_back(self, now: int, length: int, cost: int, token: int) -> None:  # noqa: ARG002 - the moment is the token
        """Take back the hits of one moment."""
        for _ in range(min(cost, self.hits.count(token))):
            self.hits.remove(token)

    def _drop(self, until: int) -> None:
        while self.hits and self.hits[-1] <= until:
            self.hits.pop()

    def expires(self, length: int) -> int:
        """Return the moment at which the newest hit is out of view."""
        return self.hits[0] + length if self.hits else 0


WINDOWS: dict[Strategy, type[Window]] = {
    "sliding-window-counter": SlidingWindow,
    "fixed-window": FixedWindow,
    "moving-window": MovingWindow,
}
