"""Settings of the way of an order: where it is from, where clients are, what is recorded of it."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, Field, StrictBool, StrictInt, model_validator

from geodns.settings.defaults import default_databases, default_directories
from geodns.settings.kinds import (
    AbsolutePath,
    DomainName,
    Duration,
    NodeName,
    Octets,
    OneLine,
    PublicKey,
    Seconds,
    Section,
    WebAddress,
)


class Geoip(Section):
    """Where clients are looked up."""

    databases: tuple[AbsolutePath, ...] = Field(
        default_factory=default_databases,
        description="MMDB files (country, city, ASN); each field of a location comes from the "
        "first that has it. Default: `data/*.mmdb` beside the settings file, else the database "
        "that ships.",
    )
    geofeeds: tuple[AbsolutePath, ...] = Field(
        (),
        description="RFC 8805 files (`prefix,country,region,city,postal`) that win over the "
        "databases; private prefixes are welcome.",
    )
    max_age_days: StrictInt | None = Field(
        None,
        ge=1,
        description="Past this age of a database each order's `on_stale` applies. Unset: the age "
        "is shown, and warned of past 30 days.",
    )


class Approver(Section):
    """A person whose signature under an order counts."""

    name: OneLine = Field(description="The name, as it stands in approvals, the ledger, receipts.")
    key: PublicKey = Field(
        description="The public Ed25519 key in base64; `geodns orders approve --new-key FILE` makes"
        " a pair."
    )


def _different(approvers: tuple[Approver, ...]) -> tuple[Approver, ...]:
    for what in ("name", "key"):
        given = [getattr(each, what) for each in approvers]
        for one in given:
            if given.count(one) > 1:
                raise ValueError(f"has the {what} {one!r} twice: each is one person's")
    return approvers


class Orders(Section):
    """Which orders are in force here."""

    directories: tuple[AbsolutePath, ...] = Field(
        default_factory=default_directories,
        description="Folders of orders, `<PLACE>/<id>.toml` in each. Default: `orders` beside the "
        "settings file, else the orders that ship. What the default is at the start holds until "
        "the server is restarted.",
    )
    never_block: tuple[DomainName, ...] = Field(
        (),
        description="Emergency list: these names and all below them are not blocked, whatever an "
        "order says. Every use is logged.",
    )
    popular: AbsolutePath | None = Field(
        None,
        description="Your own list of the most popular names for the guard against over-blocking "
        "(docs/guard.md): one name a line, the most popular first, or `rank,name` as in Tranco; "
        "the first 10,000 count. Unset: the bundled list, of 2014.",
    )
    approvals: StrictInt = Field(
        0,
        ge=0,
        le=10,
        description="How many of the `approvers` must sign an edition of an order before it has"
        " force (docs/approvals.md); 0: none. What only ends an order needs none.",
    )
    approvers: Annotated[tuple[Approver, ...], AfterValidator(_different)] = Field(
        (), description="Who may approve orders, `[[orders.approvers]]`."
    )
    webhook: WebAddress | None = Field(
        None,
        description="Where the server POSTs a JSON document, once for each event: a missed "
        "deadline, a review due, an order that expires within 30 days, targets that are held.",
    )

    @property
    def keys(self) -> dict[str, str]:
        """The public keys of the approvers by their names."""
        return {each.name: each.key for each in self.approvers}

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if self.approvals > len(self.approvers):
            raise ValueError(
                f"approvals is {self.approvals}, and there are {len(self.approvers)} approvers:"
                " no order could come into force"
            )
        return self


class Feeds(Section):
    """How official lists (`[[feeds]]` of order files) are fetched."""

    fetch: bool = Field(
        True,
        description="Whether `geodns serve` fetches lists that are due. If not, cron may do it: "
        "`geodns feeds refresh`.",
    )
    timeout: Seconds = Field(30.0, description="Seconds to wait for a publisher's server.")
    attempts: StrictInt = Field(
        3, ge=1, le=10, description="How often a server that fails is asked in one go."
    )
    size: Octets = Field(64 << 20, description="Octets that a list may have at the most.")


class Ledger(Section):
    """The record of what happened to orders: append-only, chained, signed (docs/ledger.md)."""

    path: AbsolutePath | None = Field(
        None, description="Its file. Unset: `ledger.sqlite` in `[server].state`."
    )
    node: NodeName | None = Field(
        None, description="What this server is called in it and in receipts. Unset: the host name."
    )
    checkpoint: Duration = Field(
        3600,
        ge=10,
        description="Time between two signatures over all that is in it, if anything is new.",
    )
    wait: Duration = Field(
        3600,
        description="How long changes of orders wait while the ledger cannot be written. After "
        "that they are put in force, and recorded as soon as it can be written again.",
    )
    probe: StrictBool = Field(
        True,
        description="Whether the server asks itself over loopback, from a place inside and one "
        "outside, whether an order that is new in force blocks where it has to and nowhere else.",
    )
