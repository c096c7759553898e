"""A progress bar for whoever waits at a terminal; without rich, or without a terminal, nothing."""

import contextlib
import sys
from collections.abc import Iterator

from piccolo_fastapi_auth.moving.service import Progress


@contextlib.contextmanager
def progress_bar() -> Iterator[Progress]:
    """Show what is called with on the terminal until the block ends."""
    try:
        from rich.console import Console  # noqa: PLC0415 - an optional install
        from rich.progress import MofNCompleteColumn, TimeRemainingColumn  # noqa: PLC0415 - as above
        from rich.progress import Progress as Bar  # noqa: PLC0415 - as above
    except ImportError:
        yield lambda *_: None
        return
    columns = (*Bar.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Bar(*columns, console=console, transient=True, disable=not sys.stderr.isatty()) as bar:
        tasks: dict[str, object] = {}

        def show(table: str, done: int, total: int) -> None:
            if table not in tasks:
                tasks[table] = bar.add_task(table, total=total)
            bar.update(tasks[table], completed=done)  # type: ignore[arg-type] # a TaskID

        yield show
