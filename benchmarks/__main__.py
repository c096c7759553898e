"""Run the measurements named on the command line, or all of them; exit 1 when a target is missed."""

import asyncio
import importlib
import sys

ALL = ("event_loop", "login_timing", "rate_limits")


def main() -> None:
    """Run and report."""
    missed = []
    for name in sys.argv[1:] or ALL:
        print(f"== {name}")
        if not asyncio.run(importlib.import_module(f"benchmarks.{name}").main()):
            missed.append(name)
    sys.exit(f"target missed: {', '.join(missed)}" if missed else 0)


main()
