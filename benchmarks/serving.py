"""One contestant for uvicorn: ``BENCH_PEER`` and ``BENCH_WAY`` name it, ``BENCH_PLACE`` is its database."""

import contextlib
import importlib
import os
from collections.abc import AsyncIterator
from typing import cast

from starlette.types import ASGIApp, Receive, Scope, Send

from benchmarks.peer import CHEAPEST, Contestant, protected_by
from benchmarks.places import Kind, Place


class Serving:
    """Opens the contestant at start-up and passes requests on."""

    def __init__(self) -> None:
        self._stack = contextlib.AsyncExitStack()
        self._app: ASGIApp = protected_by()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        await receive()
        if name := os.environ.get("BENCH_PEER"):
            self._app = await self._stack.enter_async_context(_opened(name))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._stack.aclose()
        await send({"type": "lifespan.shutdown.complete"})


@contextlib.asynccontextmanager
async def _opened(name: str) -> AsyncIterator[ASGIApp]:
    module = cast("Contestant", importlib.import_module(f"benchmarks.peers.{name}"))
    kind = cast("Kind", os.environ["BENCH_KIND"])
    async with module.running(Place(kind, os.environ["BENCH_PLACE"]), CHEAPEST) as peer:
        yield peer.ways[os.environ["BENCH_WAY"]].app


app = Serving()
