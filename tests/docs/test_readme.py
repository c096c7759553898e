"""README: its program runs as written, and what it says is so."""

import re

import httpx
import pytest

from tests.docs.pages import README, ROOT, Folder, blocks, rows, section
from tests.fixtures import PASSWORD


@pytest.mark.timeout(180)
def test_the_program_protects_limits_and_knows_the_person(folder: Folder) -> None:
    """Secret, migrations, sign-up, log-in, a protected route, and 429 after thirty calls in a minute."""
    code = blocks(README)
    configuration, program = (block.text for block in code if block.language == "python")
    start = next(block.text for block in code if "export PICCOLO_AUTH" in block.text)
    folder.write("piccolo_conf.py", configuration)
    folder.write("main.py", program)

    with folder.serve(start) as url, httpx.Client(base_url=url) as client:
        refused = client.get("/me")
        account = {"username": "mira", "email": "mira@example.com", "password": PASSWORD}
        registered = client.post("/auth/register", json=account)
        form = {"grant_type": "password", "username": "mira", "password": PASSWORD}
        tokens = client.post("/auth/token", data=form).json()
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        answers = [client.get("/me", headers=headers) for _ in range(35)]

    assert refused.status_code == 401
    assert registered.status_code == 201
    assert answers[0].json() == {"username": "mira"}
    # The refused call counted, too; a slow machine may cross into the next window and allow a few more.
    assert answers[-1].status_code == 429
    assert {answer.status_code for answer in answers[:29]} == {200}
    assert int(answers[-1].headers["retry-after"]) >= 1


def test_the_program_is_as_short_as_promised() -> None:
    """Fifteen lines of code, not counting the empty ones."""
    program = [block.text for block in blocks(README) if "auth.install" in block.text]

    assert len(program) == 1
    assert len([line for line in program[0].splitlines() if line.strip()]) <= 15


def test_each_property_names_tests_that_exist() -> None:
    """A renamed test file leaves no claim without its proof."""
    claims = rows(section(README, "What holds, and the test that shows it"))
    named = {claim: re.findall(r"`(tests/[\w/]+\.py)`", tests) for claim, tests in claims}

    assert claims
    assert all(named.values())
    assert [name for names in named.values() for name in names if not (ROOT / name).is_file()] == []


def test_the_ecdsa_package_is_not_even_imported(folder: Folder) -> None:
    """What README says of a scanner's finding: ES256 is signed and verified without that package."""
    folder.python(
        """
import sys
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

import piccolo_fastapi_auth
from piccolo_fastapi_auth.primitives.jwt import AccessClaims, JwtCodec

pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption(),
)
codec = JwtCodec(algorithm="ES256", keys=[pem], issuer="a", audience="a")
now = datetime.now(UTC).replace(microsecond=0)
claims = AccessClaims(
    sub="1", sid=uuid4(), jti="1", iat=now, exp=now + timedelta(minutes=1), auth_time=now,
    amr=("pwd",), scope=(),
)
assert codec.verify(codec.sign(claims), now=now) == claims
assert codec.jwks()
assert "ecdsa" not in sys.modules
"""
    )
