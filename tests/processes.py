"""Applications served by real uvicorn processes, for tests of what one process cannot show."""

import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import httpx

from tests.servers import HOST, end, free_port, guarded, wait_until

ROOT: Final = Path(__file__).resolve().parent.parent


@contextlib.contextmanager
def uvicorn_server(app: str, *, workers: int = 1, env: Mapping[str, str]) -> Iterator[str]:
    """Serve ``app`` (``module:name``) on a free port and yield its base URL.

    ``env`` is added to the environment. When the block fails, the error carries the server's log
    as a note. The processes end with the block, and with the test session in any case.
    """
    url = f"http://{HOST}:{(port := free_port())}"
    with tempfile.TemporaryDirectory(prefix="auth-tests-") as folder:
        log = Path(folder) / "uvicorn.log"
        process = guarded(
            *[sys.executable, "-m", "uvicorn", app, "--host", HOST, "--port", str(port)],
            *["--workers", str(workers), "--timeout-graceful-shutdown", "2"],
            stop=signal.SIGTERM,
            log=log,
            cwd=ROOT,
            env={**os.environ, **env},
        )
        try:
            wait_until(lambda: _answers(url), what=f"uvicorn {app}", process=process, log=log)
            yield url
        except BaseException as error:
            error.add_note(f"log of uvicorn {app}:\n{log.read_text(errors='replace')}")
            raise
        finally:
            end(process)


def _answers(url: str) -> bool:
    """Say whether anything answers, an error page included."""
    try:
        httpx.get(url, timeout=2, trust_env=False)
    except httpx.TransportError:
        return False
    return True
