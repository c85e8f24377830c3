"""What the certificates of encrypted upstreams are checked against."""

from __future__ import annotations

import ssl


class Trust:
    """Makes TLS contexts, each when it is first needed.

    ca: a PEM file of certificate authorities, None for those of the system. Certificates are
    always verified, for the name or address that the operator gave (RFC 8310 section 8.1).
    """

    def __init__(self, ca: str | None = None) -> None:
        self.ca = ca
        self._contexts: dict[str, ssl.SSLContext] = {}

    def context(self, protocol: str) -> ssl.SSLContext:
        """A context that speaks ``protocol`` (ALPN). OSError if the authorities are no PEM."""
        found = self._contexts.get(protocol)
        if found is None:
            found = ssl.create_default_context(cafile=self.ca)
            found.minimum_version = ssl.TLSVersion.TLSv1_2
            found.set_alpn_protocols([protocol])
            self._contexts[protocol] = found
        return found
