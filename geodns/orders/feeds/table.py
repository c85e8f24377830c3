"""The table ``[[feeds]]`` of an order file: where a list is fetched, and how it is read."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from geodns.orders.fields import FeedFormat, Link, Section, Text


class Feed(Section):
    """An official list that is fetched again and again, or lies beside the order file.

    Its names and networks are targets of the order, besides those in `targets`.
    """

    url: Link | None = Field(
        default=None,
        description="Where the list is fetched: https://... Either this or `path`. With `api`, what"
        " all its addresses begin with, up to and without `/v1`.",
    )
    api: Literal["piracy-shield"] | None = Field(
        default=None,
        description="What `url` speaks, where it is more than a list: piracy-shield. Needs"
        " `credentials`; the running server reports what is in force (docs/feeds.md).",
    )
    path: str | None = Field(
        default=None, description="A file in the order's folder that holds the list."
    )
    format: FeedFormat | None = Field(
        default=None,
        description="Format of the list (docs/feeds.md); found by its content if left out.",
    )
    match: Literal["domain", "exact", "below"] | None = Field(
        default=None,
        description="What a name in the list stands for, where the order says so and not the"
        " format: domain (the name and everything below it), exact, below.",
    )
    refresh: Annotated[str, Field(pattern="^[1-9][0-9]{0,4}[mhd]$")] = Field(
        default="1d",
        description="How often it is fetched: a number and m, h or d (minutes, hours, days).",
    )
    credentials: Annotated[str, Field(pattern="^[A-Z_][A-Z0-9_]*$")] | None = Field(
        default=None,
        description="Name of the environment variable whose value is sent as Authorization:"
        " `Basic ...`, `Bearer ...`, or a bare token. With `api`: `email:password`, to log in.",
    )
    reason: Text | None = Field(
        default=None,
        description="With `api` only: the reason given for every item that is not put in force,"
        " where the platform takes codes of its own. Without it the reason is told in words.",
    )
    signature: Link | None = Field(
        default=None,
        description="Where the detached signature of the list is; needs `minisign` or `openpgp`.",
    )
    minisign: Text | None = Field(
        default=None, description="The publisher's minisign public key, as one line of base64."
    )
    openpgp: str | None = Field(
        default=None,
        description="A file in the order's folder with the publisher's OpenPGP certificate.",
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.url is None) == (self.path is None):
            raise ValueError("needs either url or path")
        keys = [key for key in (self.minisign, self.openpgp) if key is not None]
        if (self.signature is not None) != (len(keys) == 1):
            raise ValueError("signature goes with one of minisign and openpgp")
        if self.path is not None and (self.signature or self.credentials):
            raise ValueError("signature and credentials go with url")
        if self.api is None:
            if self.reason is not None:
                raise ValueError("reason goes with api")
        elif self.url is None or self.credentials is None:
            raise ValueError("api needs url and credentials")
        elif self.format is not None or self.signature is not None:
            raise ValueError("api leaves no room for format and signature")
        elif not _keeps_secrets(self.url):
            raise ValueError("api needs https://: it is sent a password")
        return self


def _keeps_secrets(url: str) -> bool:
    """Whether what is sent there is read by nobody on the way."""
    parts = urlsplit(url)
    if parts.scheme == "https" or parts.hostname == "localhost":
        return True
    try:
        return ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False
