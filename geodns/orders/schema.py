"""The order file: what an authority decided, as frozen models.

These models are the one description of the file: ``geodns orders schema`` and docs/orders.md
are made from them. Names, networks and list files are checked where they are read
(targets.py), because there each entry has a line.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from geodns.model.ruling import Action
from geodns.orders.feeds.table import Feed
from geodns.orders.fields import (
    MAX_TTL,
    Address,
    Contact,
    Day,
    Language,
    Link,
    Moment,
    OrderId,
    Place,
    Section,
    Text,
    TimeZone,
)

Status = Literal["draft", "shadow", "active", "suspended", "lifted"]
AuthorityKind = Literal["court", "regulator", "police", "self-regulation", "operator"]


class Authority(Section):
    """Who ordered it."""

    name: Text = Field(description="Name of the authority, in its own language.")
    kind: AuthorityKind = Field(
        description="What it is: court, regulator, police, self-regulation (a body of the"
        " industry) or operator (the one who runs the resolver)."
    )
    place: Place | None = Field(
        default=None,
        description="Place of the authority; the folder's place if left out, and never another.",
    )
    reference: Text | None = Field(
        default=None,
        description="The authority's own number of the order: case, decision or register number.",
    )
    url: Link | None = Field(
        default=None, description="Where the order or its announcement can be read."
    )


class Dates(Section):
    """When. A plain date is its start (00:00) in `timezone`; a date-time needs an offset."""

    issued: Moment | None = Field(default=None, description="When the authority decided.")
    effective: Moment = Field(description="From when the order has force: the first instant.")
    deadline: Moment | None = Field(
        default=None, description="Until when it had to be carried out; kept for the record only."
    )
    expires: Moment | None = Field(
        default=None,
        description="From when the order has no force any more: the first instant after it.",
    )
    review: Moment | None = Field(
        default=None,
        description="When somebody must look at the order again; changes nothing by itself.",
    )


class Targets(Section):
    """What is ordered blocked; one target is required at least: in lists, files or feeds."""

    domains: tuple[str, ...] = Field(
        default=(), description="Domain names: the name and everything below it."
    )
    exact: tuple[str, ...] = Field(default=(), description="Domain names: that name only.")
    below: tuple[str, ...] = Field(
        default=(), description="Domain names: everything below, not the name."
    )
    networks: tuple[str, ...] = Field(
        default=(),
        description="IP addresses and CIDR blocks: answers that contain such an address.",
    )
    exempt: tuple[str, ...] = Field(
        default=(),
        description="Domain names carved out of this order, with everything below them: a query"
        " for one is not blocked by this order, nor through its aliases or addresses.",
    )
    files: tuple[str, ...] = Field(
        default=(),
        description="List files in the order's folder: one domain name a line (the name and"
        " everything below it), # starts a comment.",
    )


class Response(Section):
    """What a client gets instead of the answer."""

    action: Action = Field(
        default="nxdomain",
        description="nxdomain: the name does not exist. nodata: it exists without records. refused:"
        " REFUSED, which makes many clients ask their next server. sinkhole: `addresses`.",
    )
    addresses: tuple[Address, ...] = Field(
        default=(),
        description="IPv4 and IPv6 addresses given out by a sinkhole; required there, else absent.",
    )
    ttl: Annotated[int, Field(strict=True, ge=1, le=MAX_TTL)] = Field(
        default=60, description="TTL of the reply in seconds, 1 to 86400."
    )


class Incident(Section):
    """An entry of a public database about this order."""

    db: Text = Field(description="The database, for example lumen.")
    id: Text = Field(description="The entry's identifier in it.")


class Translation(Section):
    """What is told in one more language."""

    text: Text = Field(description="The sentence of `disclosure.text` in this language.")


class Disclosure(Section):
    """What the client and the public may be told."""

    text: Text | None = Field(
        default=None,
        description="One plain sentence; goes into the reply (Extended DNS Error, RFC 8914).",
    )
    language: Language | None = Field(
        default=None,
        description="Language of `text`: a tag of BCP 47, such as `de` or `pt-BR`. DNS cannot ask"
        " for a language, so replies are in this one.",
    )
    translations: dict[Language, Translation] = Field(
        default={},
        description="By language tag, the same sentence in other languages, each a section of its"
        " own: `[disclosure.translations.de]` with the key `text`. The block page picks"
        " the one that the visitor reads.",
    )
    contact: tuple[Contact, ...] = Field(
        default=(), description="Whom a blocked person can ask: mailto: and tel: URIs."
    )
    url: Link | None = Field(default=None, description="A page about the order for the public.")
    incident: Incident | None = Field(
        default=None, description="Entry of a public database: db and id."
    )


FINDINGS = (
    *("public-suffix", "single-label", "popular", "below-popular", "platform", "cloud-range"),
    *("wide-network", "short-name", "look-alike"),
)
"""Findings about one target."""
WHOLE_FINDINGS = ("growth", "shrinkage", "wide-jurisdiction", "no-end", "no-reference", "no-source")
"""Findings about an order as a whole."""


class Acknowledge(Section):
    """A person has looked at a finding of `geodns orders check`, and it is meant.

    A target that is held comes into force by it.
    """

    finding: Literal[
        "public-suffix",
        "single-label",
        "popular",
        "below-popular",
        "platform",
        "cloud-range",
        "wide-network",
        "short-name",
        "look-alike",
        "growth",
        "shrinkage",
        "wide-jurisdiction",
        "no-end",
        "no-reference",
        "no-source",
    ] = Field(description="What is acknowledged, as the check names it (docs/guard.md).")
    target: Text | None = Field(
        default=None,
        description="The name or network, as in `targets`; for `below-popular` and `platform` also"
        " the name above it, for `cloud-range` a network around it. Absent where the finding is"
        " about the order as a whole.",
    )
    by: Text = Field(description="Who has looked.")
    reason: Text = Field(description="Why it is meant.")
    date: Day = Field(description="When, as 2024-05-31.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.finding in FINDINGS and self.target is None:
            raise ValueError(f"{self.finding} is about a target; name it")
        if self.finding in WHOLE_FINDINGS and self.target is not None:
            raise ValueError(f"{self.finding} is about the order as a whole; leave target out")
        return self


class Event(Section):
    """Something that happens to the order at an instant; the server switches by itself.

    `status` is what holds before the first event.
    """

    kind: Literal["suspend", "resume", "lift", "lift-targets", "amend-end"] = Field(
        description="suspend: no force until it resumes. resume: force again. lift: no force any"
        " more, for good. lift-targets: `targets` have none any more. amend-end: `expires` is"
        " `end`, or is none where there is no `end`."
    )
    at: Moment = Field(description="When: the first instant. A plain date is its start.")
    targets: tuple[str, ...] = Field(
        default=(), description="lift-targets only: names and networks, as in `targets`."
    )
    end: Moment | None = Field(
        default=None, description="amend-end only: the first instant without force."
    )
    reason: Text | None = Field(default=None, description="Why, in one line.")
    source: Text | None = Field(default=None, description="Where that is from.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.kind == "lift-targets") != bool(self.targets):
            raise ValueError("targets go with lift-targets, and only with it")
        if self.end is not None and self.kind != "amend-end":
            raise ValueError("end goes only with amend-end")
        return self


def _jurisdiction(value: object) -> object:
    if isinstance(value, str) and value != "global":
        raise ValueError(f'{value!r} must be a list, as ["{value}"], or the word "global"')
    if isinstance(value, list | tuple):
        if not value:
            raise ValueError("is empty; leave the key out for the folder's place")
        if "global" in value:
            raise ValueError('"global" stands alone: jurisdiction = "global"')
    return value


class Order(Section):
    """One order of one authority: the content of one order file."""

    id: OrderId = Field(
        description="Identifier: lower-case letters, digits and hyphens; equals the file's name"
        " without .toml and is used once in all folders."
    )
    title: Text = Field(description="What the order is, in a few words.")
    jurisdiction: Annotated[
        tuple[Place, ...] | Literal["global"] | None, BeforeValidator(_jurisdiction)
    ] = Field(
        default=None,
        description="Where it has force: a list of places (ISO 3166-1, ISO 3166-2, AS number, named"
        ' set), or "global" with `global_reason`. The folder\'s place if left out.',
    )
    global_reason: Text | None = Field(
        default=None,
        description='Why it has force everywhere; required with, and only with, "global".',
    )
    except_: tuple[Place, ...] = Field(
        default=(), alias="except", description="Places carved out of the jurisdiction."
    )
    status: Status = Field(
        description="draft: only checked. shadow: rules and records but does not block. active:"
        " blocks. suspended, lifted: no force, kept for the record."
    )
    legal_basis: Text | None = Field(
        default=None, description="The law or contract that the order rests on."
    )
    timezone: TimeZone = Field(default="UTC", description="IANA time zone of plain dates.")
    on_unknown: Literal["allow", "block"] = Field(
        default="allow", description="What holds for a client that cannot be located."
    )
    on_stale: Literal["keep", "allow"] = Field(
        default="keep",
        description="What happens when the databases are older than geoip.max_age_days.",
    )
    supersedes: tuple[OrderId, ...] = Field(
        default=(), description="Ids of orders that this one takes the place of."
    )
    sources: tuple[Text, ...] = Field(
        default=(), description="Where the facts of this file are from."
    )
    unverified: tuple[Text, ...] = Field(default=(), description="What could not be verified.")
    authority: Authority = Field(description="Who ordered it.")
    dates: Dates = Field(description="When it was decided and has force.")
    targets: Targets = Field(default=Targets(), description="What is ordered blocked.")
    feeds: tuple[Feed, ...] = Field(
        default=(), description="Official lists whose entries are targets too."
    )
    events: tuple[Event, ...] = Field(
        default=(), description="What happened to the order since, and what will, each with a date."
    )
    acknowledge: tuple[Acknowledge, ...] = Field(
        default=(), description="Findings that a person has looked at."
    )
    response: Response = Field(
        default=Response(), description="What a client gets instead of the answer."
    )
    disclosure: Disclosure = Field(
        default=Disclosure(), description="What the client and the public may be told."
    )


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of an order file, with the keys as the file spells them."""
    schema = Order.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
