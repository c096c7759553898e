"""A lock that grows: 30 s, 1 min, 2 min ... 1 h, and ends by itself. Pure: every moment is an argument.

Nothing but a strike lengthens it, and nobody can strike while it lasts. So whoever attacks an account
can slow its owner down, never shut him out for good (NIST SP 800-63B-4 section 3.2.2).
"""

from dataclasses import dataclass
from datetime import timedelta

from piccolo_fastapi_auth.rate_limits.windows import Reading, Window


@dataclass(frozen=True, slots=True)
class LockRule:
    """How a lock grows: it doubles from ``shortest`` to ``longest``; quiet for ``forgets``, it starts anew."""

    shortest: timedelta = timedelta(seconds=30)
    longest: timedelta = timedelta(hours=1)
    forgets: timedelta = timedelta(hours=24)

    def milliseconds(self) -> tuple[int, int, int]:
        """Return the three, in ms."""
        one = timedelta(milliseconds=1)
        return self.shortest // one, self.longest // one, self.forgets // one


def lock_length(strikes: int, rule: LockRule) -> int:
    """Return the milliseconds of the lock after so many strikes in a row."""
    shortest, longest, _ = rule.milliseconds()
    return min(shortest << min(strikes - 1, 30), longest)


class Locked(Window):
    """A lock as the memory store holds it, beside the counters."""

    __slots__ = ("forgotten", "strikes", "until")

    def __init__(self) -> None:
        super().__init__()
        self.strikes = 0
        self.until = 0
        self.forgotten = 0

    def left(self, now: int) -> int:
        """Return the milliseconds until the lock ends."""
        return max(self.until - now, 0)

    def strike(self, now: int, rule: LockRule) -> int:
        """Lock, for longer each time, unless it is locked already; return the milliseconds left."""
        if left := self.left(now):
            return left
        self.strikes = self.strikes + 1 if self.forgotten > now else 1
        self.until = now + lock_length(self.strikes, rule)
        self.forgotten = self.until + rule.milliseconds()[2]
        return self.left(now)

    @property
    def weight(self) -> int:
        """A lock is always worth keeping."""
        return 1

    def read(self, now: int, amount: int, length: int, cost: int) -> Reading:  # noqa: ARG002 - a lock has no limit
        """Say how long it lasts."""
        return Reading(self.strikes, self.left(now), self.left(now), 0)

    def add(self, now: int, length: int, cost: int) -> None:
        """Do nothing: a lock counts strikes only."""

    def give_back(self, now: int, length: int, cost: int, token: int) -> None:
        """Do nothing: a lock counts strikes only."""

    def expires(self, length: int) -> int:  # noqa: ARG002 - the end is known
        """Return the moment at which even the strikes are forgotten."""
        return self.forgotten
