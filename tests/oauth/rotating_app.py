"""An application whose signing keys are in a file, read by each worker when it starts. It needs no database."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated
from uuid import uuid4

from fastapi import Depends, FastAPI

from piccolo_fastapi_auth import Auth, AuthSettings, Principal
from piccolo_fastapi_auth.primitives.jwt import AccessClaims
from tests.fixtures import SECRET

auth = Auth(
    AuthSettings(
        secret_keys=[SECRET],
        algorithm="ES256",
        signing_keys=json.loads(Path(os.environ["KEYS_FILE"]).read_text()),
    )
)
codec = auth._parts.tokens.codec
kids = [key.kid for key in codec._keys]
app = FastAPI()
app.include_router(auth.router)


@app.get("/worker")
async def worker() -> dict[str, object]:
    """Say which worker this is, and hand out a token."""
    now = datetime.now(UTC).replace(microsecond=0)  # noqa: TID251 - a real clock in a real process
    claims = AccessClaims(
        sub="1", sid=uuid4(), jti="1", iat=now, exp=now + timedelta(minutes=10), auth_time=now,
        amr=("pwd",), scope=(),
    )  # fmt: skip
    return {"pid": os.getpid(), "parent": os.getppid(), "kids": kids, "token": codec.sign(claims)}


@app.get("/who")
async def who(_: Annotated[Principal, Depends(auth.principal)]) -> None:
    """Let whoever has a good token in."""
