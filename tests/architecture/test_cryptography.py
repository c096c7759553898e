"""What the package uses of cryptography: named in the inventory, from known implementations, and nothing weak."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.docs.pages import DOCS, ROOT, rows, section

PACKAGE: Final = ROOT / "piccolo_fastapi_auth"
TREES: Final = {
    path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
    for path in sorted(PACKAGE.rglob("*.py"))
    if "piccolo_migrations" not in path.parts
}
STANDARD: Final = {"hashlib", "hmac", "secrets", "ssl"}
IMPLEMENTATIONS: Final = {"cryptography", "jose", "nacl", "pwdlib", "pyotp"}
# Whatever else does cryptography or makes numbers that can be guessed.
OTHERS: Final = {
    "Crypto", "Cryptodome", "argon2", "authlib", "bcrypt", "ecdsa", "itsdangerous", "joserfc", "jwt", "numpy",
    "passlib", "random", "rsa", "scrypt",
}  # fmt: skip
# Of `cryptography`: AES-GCM to seal, HKDF to derive, keys for RS256 and ES256; Fernet opens what Piccolo API sealed.
PARTS: Final = {
    "cryptography.exceptions", "cryptography.fernet",
    "cryptography.hazmat.primitives.asymmetric.ec", "cryptography.hazmat.primitives.asymmetric.rsa",
    "cryptography.hazmat.primitives.asymmetric.types", "cryptography.hazmat.primitives.ciphers.aead",
    "cryptography.hazmat.primitives.hashes", "cryptography.hazmat.primitives.kdf.hkdf",
    "cryptography.hazmat.primitives.serialization",
}  # fmt: skip
MACS: Final = re.compile(r"(?<![\w.])_?(?:macs?|digest|signature)\b(?!\.)")


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from (str(arg.value) for arg in node.args if isinstance(arg, ast.Constant))


IMPORTED: Final = {name: set(_imported(tree)) for name, tree in TREES.items()}


def _roots(name: str) -> set[str]:
    return {one.partition(".")[0] for one in IMPORTED[name]}


def _uses(pattern: str) -> dict[str, set[str]]:
    """The names of this form that each module uses."""
    found: dict[str, set[str]] = {}
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute | ast.Name) and re.fullmatch(
                pattern, ast.unparse(node)
            ):
                found.setdefault(name, set()).add(ast.unparse(node))
    return found


def test_the_inventory_names_every_module_that_uses_cryptography() -> None:
    """ASVS 11.1.2, 11.1.3: a new use has to be written down; what is no longer there has to go."""
    table = rows(section(DOCS / "explanation" / "cryptography.md", "Inventory"))
    named = {name for row in table for name in re.findall(r"`([\w/]+\.py)`", row[3])}

    assert named == {name for name in TREES if _roots(name) & (STANDARD | IMPLEMENTATIONS)}


def test_only_these_implementations_are_used() -> None:
    """ASVS 11.2.1, 11.3.1, 11.3.5: no other library, and of the one with ciphers only what authenticates, too."""
    assert {name: _roots(name) & OTHERS for name in TREES if _roots(name) & OTHERS} == {}
    parts = {one for names in IMPORTED.values() for one in names if one.startswith("cryptography")}
    assert {one.rpartition(".")[0] for one in parts} == PARTS
    ciphers = {one for one in parts if ".ciphers." in one}
    assert ciphers == {"cryptography.hazmat.primitives.ciphers.aead.AESGCM"}
    assert {name for name in TREES if "cryptography.fernet.Fernet" in IMPORTED[name]} == {
        "moving/decryption.py"
    }


def test_randomness_comes_from_the_system() -> None:
    """ASVS 6.5.3, 11.5.1: `secrets`, and pyotp over it; UUIDs name rows and are handed out as no secret."""
    assert [name for name in TREES if "random" in _roots(name)] == []
    makers = _uses(
        r"(?:secrets|os|pyotp|uuid)\.\w*(?:token|choice|randbelow|random|uuid)\w*|uuid[1-8]"
    )
    assert {one for names in makers.values() for one in names} == {
        "secrets.token_bytes", "secrets.token_urlsafe", "secrets.choice", "pyotp.random_base32", "uuid4", "uuid5",
    }  # fmt: skip
    in_secrets = {
        ast.unparse(node.value)
        for tree in TREES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.keyword) and node.arg and re.search(r"secret|hash|code", node.arg)
    }
    assert [text for text in in_secrets if "uuid" in text] == []


def test_weak_digests_stand_where_a_standard_asks_for_them() -> None:
    """ASVS 11.4.1: SHA-1 for the form of the breach service and for authenticator apps, MD5 nowhere."""
    digests = _uses(r"hashlib\.\w+")
    weak = {
        name: used & {"hashlib.md5", "hashlib.sha1", "hashlib.new"}
        for name, used in digests.items()
    }

    assert {name: used for name, used in weak.items() if used} == {
        "breaches.py": {"hashlib.sha1"},
        "mfa/methods/totp.py": {"hashlib.sha1"},
    }
    used = {one for names in digests.values() for one in names}
    assert used == {"hashlib.sha1", "hashlib.sha256", "hashlib.pbkdf2_hmac"}
    direct = {one for names in IMPORTED.values() for one in names if one.startswith("hashlib.")}
    assert direct == {"hashlib.sha256"}


def test_every_mac_is_over_sha_256() -> None:
    """ASVS 11.4.3: what we sign with a key of ours."""
    calls = [
        node
        for tree in TREES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"hmac.new", "hmac.digest"}
    ]

    assert len(calls) > 3
    assert {ast.unparse(call.args[2]) for call in calls} == {"'sha256'", "hashlib.sha256"}


def test_passwords_are_stretched_and_keys_come_from_keys() -> None:
    """ASVS 11.4.4: slow hashes are for passwords only, and every derived key is of a configured secret."""
    slow = _uses(r"hashlib\.(?:pbkdf2_hmac|scrypt)|Argon2Hasher")
    assert set(slow) == {"primitives/passwords.py", "mfa/methods/moved_codes.py"}
    sources = {
        ast.unparse(node.args[0])
        for tree in TREES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "derive_key"
    }

    assert sources == {"secret", "settings.secrets[0]"}


def test_secrets_are_compared_in_constant_time() -> None:
    """ASVS 11.2.4: by ``hmac.compare_digest``; a look-up in a table compares digests of what nobody can choose."""
    plain = [
        f"{name}:{node.lineno}"
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.NotEq | ast.In)
        if not ast.unparse(node.left).endswith("_hash")  # a column
        if any(MACS.search(ast.unparse(side)) for side in (node.left, *node.comparators))
    ]
    careful = set(_uses(r"hmac\.compare_digest"))

    assert plain == []
    assert careful == {
        "accounts/signup_proof.py", "mfa/methods/sent_code.py", "primitives/passwords.py",
        "rate_limits/device_cookie.py", "sessions/rotation.py", "static_tokens.py",
    }  # fmt: skip


def test_the_trees_are_those_of_the_package() -> None:
    """Nothing above is true of an empty list."""
    assert len(TREES) > 100
    assert all(Path(PACKAGE / name).is_file() for name in TREES)
