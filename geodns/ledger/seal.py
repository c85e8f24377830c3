"""The node's signing key, and what is signed with it: checkpoints and documents (Ed25519)."""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from geodns.errors import LedgerError
from geodns.ledger.entry import canonical

KEY = "ledger.key"
"""The key's file in the state folder."""
_FORMAT = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


class Seal:
    """Signs in the name of a node."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        raw = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.key = b64encode(raw).decode()

    @classmethod
    def read(cls, path: Path) -> Seal:
        """The seal of a key file (PEM, PKCS #8). Raises LedgerError if it is none."""
        try:
            private = load_pem_private_key(path.read_bytes(), None)
        except OSError as error:
            raise LedgerError(f"{path}: {error.strerror}") from None
        except (ValueError, TypeError):
            private = None
        if not isinstance(private, Ed25519PrivateKey):
            raise LedgerError(f"{path}: this is no Ed25519 key in PEM form, without a password")
        return cls(private)

    @classmethod
    def of(cls, path: Path) -> Seal:
        """The seal of a key file, which is made (mode 0600) where there is none."""
        if not path.exists():
            with suppress(FileExistsError):
                _make(path)
        return cls.read(path)

    def sign(self, message: bytes) -> str:
        """The signature in base64."""
        return b64encode(self._private.sign(message)).decode()

    def checkpoint(self, seq: int, head: bytes) -> dict[str, Any]:
        """The facts of a checkpoint: that entry ``seq`` had this hash."""
        signature = self.sign(checkpoint_message(seq, head.hex()))
        return {"seq": seq, "head": head.hex(), "key": self.key, "signature": signature}

    def document(self, what: str, document: Mapping[str, Any]) -> dict[str, Any]:
        """A document with ``signed``: key and signature over its canonical JSON without that.

        what: the document's sort, such as ``receipt``, so that none passes for another.
        """
        signature = self.sign(document_message(what, document))
        return {**document, "signed": {"key": self.key, "signature": signature}}


def checkpoint_message(seq: int, head: str) -> bytes:
    """What a checkpoint signs. head: hexadecimal."""
    return f"geodns checkpoint\n{seq}\n{head}\n".encode()


def document_message(what: str, document: Mapping[str, Any]) -> bytes:
    """What is signed of a document; ``signed`` itself is left out."""
    rest = {key: value for key, value in document.items() if key != "signed"}
    return f"geodns {what}\n{canonical(rest)}\n".encode()


def _make(path: Path) -> None:
    """Write a new key, whole or not at all; FileExistsError where another was quicker."""
    data = Ed25519PrivateKey.generate().private_bytes(*_FORMAT)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.unlink(missing_ok=True)
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(handle)
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError as error:
        raise LedgerError(f"{path}: {error.strerror or error}") from None
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
