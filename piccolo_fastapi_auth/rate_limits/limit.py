"""The notation of limits: ``"5/minute;100/day"``. Pure: no clock, no store, no HTTP."""

import re
from dataclasses import dataclass, field
from typing import Final

from limits import RateLimitItem, parse_many
from limits.limits import GRANULARITIES

LARGEST_AMOUNT: Final = 1_000_000_000
_NO_TIME_AT_ALL: Final = re.compile(r"(?:/|per)\s*0+\s*[a-z]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Limit:
    """At most ``amount`` in any ``multiples`` of ``unit``, such as 5 in any 2 minutes."""

    amount: int
    multiples: int
    unit: str
    seconds: int
    suffix: str = field(init=False, repr=False, compare=False)
    """The end of the counter's name, exactly as `limits` (and so slowapi) writes it."""

    def __post_init__(self) -> None:
        """Write the suffix once: every hit needs it."""
        object.__setattr__(self, "suffix", f"{self.amount}/{self.multiples}/{self.unit}")

    def item(self) -> RateLimitItem:
        """Return it as `limits` writes it."""
        return GRANULARITIES[self.unit](self.amount, self.multiples)

    def __str__(self) -> str:
        return f"{self.amount} per {self.multiples} {self.unit}"


def parse_limits(notation: str) -> tuple[Limit, ...]:
    """Read limits such as ``"5/minute;100/day"`` or ``"5/5 minutes"``.

    A limit that is written twice counts once.

    Raises:
        ValueError: ``notation`` is misspelt, allows nothing, or names no time.
    """
    try:
        items = parse_many(notation)
    except ValueError as error:
        raise _misspelt(notation) from error
    limits = tuple(dict.fromkeys(_limit(item) for item in items))
    if _NO_TIME_AT_ALL.search(notation) or not all(_is_sensible(limit) for limit in limits):
        raise _misspelt(notation)
    return limits


def _limit(item: RateLimitItem) -> Limit:
    return Limit(item.amount, item.multiples, item.GRANULARITY.name, item.get_expiry())


def _is_sensible(limit: Limit) -> bool:
    return 1 <= limit.amount <= LARGEST_AMOUNT


def _misspelt(notation: object) -> ValueError:
    return ValueError(f"{notation!r} is not a rate limit; write one such as '5/minute;100/day'")
