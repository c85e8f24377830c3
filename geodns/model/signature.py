"""Ed25519 signatures (RFC 8032), keys and signatures in base64."""

from __future__ import annotations

from base64 import b64decode


def holds(key: object, signature: object, message: bytes) -> bool:
    """Whether a signature is that of this public key (both base64) over the message."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if not isinstance(key, str) or not isinstance(signature, str):
        return False
    try:
        public = Ed25519PublicKey.from_public_bytes(b64decode(key, validate=True))
        public.verify(b64decode(signature, validate=True), message)
    except (ValueError, InvalidSignature):
        return False
    return True
