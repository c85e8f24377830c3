"""Certificates of test servers, by an authority that nobody else trusts."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme

AUTHORITY = trustme.CA()
NAME = "dns.example"


def context(*names: str, alpn: str | None = None) -> ssl.SSLContext:
    """A server's context with a certificate for ``names`` (addresses among them)."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert(*names).configure_cert(made)
    if alpn is not None:
        made.set_alpn_protocols([alpn])
    return made


def write_authority(folder: Path) -> str:
    """The authority's certificate as a file, to be trusted."""
    path = folder / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(path)
    return str(path)
