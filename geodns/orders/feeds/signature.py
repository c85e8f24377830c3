"""Detached signatures of lists: minisign and OpenPGP, each by a library."""

from __future__ import annotations

from geodns.orders.feeds.row import FeedFault


def verify_minisign(data: bytes, signature: bytes, key: str) -> None:
    """Check a minisign signature. key: the public key, base64. Raises FeedFault."""
    try:
        import minisign
    except ImportError:
        raise _missing("py-minisign") from None
    try:
        public = minisign.PublicKey.from_base64(key)
    except (minisign.ParseError, ValueError) as error:
        raise FeedFault(f"the minisign key cannot be read: {error}") from None
    try:
        public.verify(data, minisign.Signature.from_bytes(signature))
    except minisign.ParseError as error:
        raise FeedFault(f"its signature cannot be read: {error}") from None
    except minisign.VerifyError as error:
        raise FeedFault(f"its signature is wrong: {error}") from None


def verify_openpgp(data: bytes, signature: bytes, certificate: bytes) -> None:
    """Check an OpenPGP signature (RFC 9580) by a certificate. Raises FeedFault."""
    try:
        import pysequoia
    except ImportError:
        raise _missing("pysequoia") from None
    try:
        known = pysequoia.Cert.from_bytes(certificate)
        parsed = pysequoia.Sig.from_bytes(signature)
    except Exception as error:
        # The library raises bare exceptions of the Rust side.
        raise FeedFault(f"its signature or certificate cannot be read: {_first(error)}") from None
    try:
        pysequoia.verify(bytes=data, signature=parsed, store=lambda _: [known])
    except Exception as error:
        raise FeedFault(f"its signature is wrong: {_first(error)}") from None


def _first(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _missing(package: str) -> FeedFault:
    return FeedFault(f"its signature cannot be checked: pip install {package} (geodns[signatures])")
