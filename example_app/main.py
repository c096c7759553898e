"""The application: ``make run``, then open http://127.0.0.1:8000."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from piccolo.engine import PostgresEngine
from piccolo.table import create_db_tables

from example_app.admin import admin_table, mount_admin
from example_app.auth import auth
from example_app.links import router as links
from example_app.piccolo_conf import DB
from example_app.start import router as start
from example_app.tables import Link, Tag
from piccolo_fastapi_auth import SecurityHeadersMiddleware

WELCOME: Final = """
The reading list is ready.
  what to try    {url}
  documentation  {url}/docs
  administrator  make admin NAME=<somebody who signed up>
"""


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Open the pool, make what tables are missing, say where to look."""
    if isinstance(DB, PostgresEngine):
        await DB.start_connection_pool()
    try:
        await _make_tables()
        print(WELCOME.format(url=auth.settings.public_origin))  # noqa: T201 - for whoever started it
        yield
    finally:
        if isinstance(DB, PostgresEngine):
            await DB.close_connection_pool()


async def _make_tables() -> None:
    """Make the tables. Production runs ``piccolo migrations forwards all`` instead."""
    for attempts_left in reversed(range(5)):
        try:
            await auth.create_tables()
            await create_db_tables(Link, Tag, *admin_table(), if_not_exists=True)
        except Exception:
            # PostgreSQL fails one of two workers that make the same table at once; the table is there then.
            if not attempts_left:
                raise
            await asyncio.sleep(0.2)
        else:
            return


app = FastAPI(title="Reading list", lifespan=lifespan)
app.include_router(start)
app.include_router(links)
app.include_router(auth.router)
auth.install(app)
mount_admin(app)
app.add_middleware(SecurityHeadersMiddleware)


@app.exception_handler(RequestValidationError)
async def refuse(_: Request, error: RequestValidationError) -> JSONResponse:
    """Say what is wrong without sending it back, as FastAPI would: not all of it can be written as JSON."""
    problems = [{key: one[key] for key in ("type", "loc", "msg")} for one in error.errors()]
    return JSONResponse({"detail": problems}, status_code=422)
