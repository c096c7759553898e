"""A wire to a server that can be cut: before a message gets there, or before its answer comes back."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Literal

from tests.servers import HOST

Moment = Literal["request", "answer"]


class Wire:
    """Passes bytes on between clients and one server, until it is told to break."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._at = 0
        self._moment: Moment = "request"
        self._sent = 0
        self._open: set[asyncio.StreamWriter] = set()
        self.was_cut = False
        self.is_down = False
        self.port = 0

    def cut_at(self, number: int, moment: Moment) -> None:
        """Cut the connection of the ``number``-th message from now on: the message, or its answer, is lost."""
        self._at, self._moment, self._sent, self.was_cut = number, moment, 0, False

    def leave_alone(self) -> None:
        """Cut nothing any more."""
        self._at = 0

    def go_down(self) -> None:
        """Cut every connection, and take no new one."""
        self.is_down = True
        for writer in self._open:
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_down:
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        self._open |= {writer, far_writer}
        lost = asyncio.Event()
        pumps = [
            asyncio.create_task(self._requests(reader, far_writer, lost)),
            asyncio.create_task(self._answers(far_reader, writer, lost)),
        ]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in pumps:
            pump.cancel()
        for one in (writer, far_writer):
            one.transport.abort()
        self._open -= {writer, far_writer}

    async def _requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, lost: asyncio.Event
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while message := await reader.read(65_536):
                self._sent += 1
                if self._sent == self._at:
                    self.was_cut = True
                    if self._moment == "request":
                        return
                    lost.set()
                writer.write(message)

    @staticmethod
    async def _answers(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, lost: asyncio.Event
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while message := await reader.read(65_536):
                if lost.is_set():
                    return
                writer.write(message)


@contextlib.asynccontextmanager
async def wire_to(host: str, port: int) -> AsyncIterator[Wire]:
    """Lay a wire to a server that listens at ``host`` and ``port``."""
    wire = Wire(host, port)
    server = await asyncio.start_server(wire._connected, HOST, 0)
    wire.port = server.sockets[0].getsockname()[1]
    async with server:
        yield wire
        wire.go_down()
