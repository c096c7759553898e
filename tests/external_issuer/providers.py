"""Real OpenID providers: ``oidc-provider-mock`` from Python, and npm's ``oidc-provider`` where Node is found."""

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
from jose import jwk

from piccolo_fastapi_auth.primitives.jwt_keys import load_keys, new_pem
from tests.servers import end, free_port, guarded, wait_until

VERSION: Final = "9.13.3"
FOLDER: Final = (
    Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "piccolo-fastapi-auth"
)
NAMES: Final = ["mock", "node"] if shutil.which("node") and shutil.which("npm") else ["mock"]


@dataclass(frozen=True)
class Provider:
    """A provider that is running."""

    name: str
    issuer: str

    def token(self, audience: str) -> str:
        """A token about ``alice`` for an audience, by the provider's own way."""
        with httpx.Client(base_url=self.issuer, trust_env=False) as client:
            return (
                _from_mock(client, audience)
                if self.name == "mock"
                else _from_node(client, audience)
            )


def _from_mock(client: httpx.Client, audience: str) -> str:
    query = {
        "client_id": audience,
        "redirect_uri": "http://app.test/",
        "response_type": "code",
        "scope": "openid",
    }
    answer = client.post("/oauth2/authorize", params=query, data={"sub": "alice"})
    found = re.search("code=([^&]+)", answer.headers["location"])
    assert found is not None
    form = {
        "grant_type": "authorization_code",
        "code": found[1],
        "redirect_uri": "http://app.test/",
    }
    form |= {"client_id": audience, "client_secret": "x"}
    return str(client.post("/oauth2/token", data=form).json()["id_token"])


def _from_node(client: httpx.Client, audience: str) -> str:
    form = {"grant_type": "client_credentials", "resource": audience, "scope": "posts:read"}
    answer = client.post("/token", data=form, auth=("alice", "a-secret-for-tests"))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


@contextlib.contextmanager
def running(name: str, port: int) -> Iterator[Provider]:
    """Run a provider, each time with a key of its own."""
    provider = Provider(name, f"http://localhost:{port}")
    command, environment = _mock(port) if name == "mock" else _node(port)
    with tempfile.TemporaryDirectory(prefix="auth-tests-") as folder:
        log = Path(folder) / "provider.log"
        process = guarded(*command, stop=signal.SIGTERM, log=log, cwd=Path(folder), env=environment)
        try:
            url = f"{provider.issuer}/.well-known/openid-configuration"
            wait_until(lambda: _answers(url), what="oidc-provider", process=process, log=log)
            yield provider
        finally:
            end(process)


def _mock(port: int) -> tuple[list[str], dict[str, str]]:
    return [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", "--port", str(port)], {
        **os.environ
    }


def _node(port: int) -> tuple[list[str], dict[str, str]]:
    keys = json.dumps({"keys": [_private_jwk()]})
    changes = {"PORT": str(port), "KEYS": keys, "MODULE": str(_module())}
    return ["node", str(Path(__file__).with_name("provider.mjs"))], {**os.environ, **changes}


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def _module() -> Path:
    """Install the package once for all runs, outside the repository."""
    folder = FOLDER / f"oidc-provider-{VERSION}"
    folder.mkdir(parents=True, exist_ok=True)
    module = folder / "node_modules" / "oidc-provider" / "lib" / "index.js"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not module.exists():
            npm = shutil.which("npm")
            assert npm is not None
            command = [
                npm,
                "install",
                "--no-audit",
                "--no-fund",
                "--silent",
                f"oidc-provider@{VERSION}",
            ]
            (folder / "package.json").write_text("{}")
            subprocess.run(command, cwd=folder, check=True, timeout=120)  # noqa: S603 - as above
    return module


def _private_jwk() -> dict[str, Any]:
    pem = new_pem("RS256")
    (key,) = load_keys("RS256", [pem])
    members = jwk.construct(pem, "RS256").to_dict()
    texts = {k: v.decode() if isinstance(v, bytes) else v for k, v in members.items()}
    return {**texts, "kid": key.kid, "use": "sig", "alg": "RS256"}


def a_port() -> int:
    """A port that a provider keeps over its restarts."""
    return free_port()
