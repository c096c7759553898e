"""The notation of limits."""

import pytest

from piccolo_fastapi_auth.rate_limits.limit import Limit, parse_limits
from piccolo_fastapi_auth.rate_limits.limiter import RateLimiter


def test_a_rate_is_read() -> None:
    """One limit is an amount in a time."""
    assert parse_limits("5/minute") == (Limit(5, 1, "minute", 60),)


def test_several_rates_and_multiples_are_read() -> None:
    """Semicolons join limits; ``5 minutes`` is a time, too."""
    assert [(limit.amount, limit.seconds) for limit in parse_limits("5/5 minutes;100/day")] == [
        (5, 300),
        (100, 86400),
    ]


def test_a_rate_written_twice_counts_once() -> None:
    """Otherwise one request would be two hits on one counter."""
    assert len(parse_limits("5/minute;5/minutes")) == 1


@pytest.mark.parametrize(
    "notation",
    [
        "",
        "5",
        "5/minit",
        "five/minute",
        "-5/minute",
        "5/minute;",
        "0/minute",
        "5/0 minutes",
        "٥/minute",
        "99999999999999999999/second",
        "5/minute 💥",
        "5.5/minute",
    ],
)
def test_a_misspelt_rate_fails_where_it_is_written(notation: str) -> None:
    """Slowapi only logs it, and then there is no limit at all."""
    with pytest.raises(ValueError, match="not a rate limit") as caught:
        RateLimiter().limit(notation)

    assert repr(notation) in str(caught.value)
