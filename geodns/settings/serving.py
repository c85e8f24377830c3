"""Settings of the way of a query: who is served, who is asked, what is kept, how much of it."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StrictBool, StrictInt, StrictStr, model_validator

from geodns.settings.defaults import default_state
from geodns.settings.kinds import (
    AbsolutePath,
    Duration,
    InfoUrl,
    Listen,
    Network,
    Octets,
    Seconds,
    Section,
    Text,
    UpstreamServer,
    distinct,
    readable,
    usual,
)

DEFAULT_CLIENTS = (
    "127.0.0.0/8",
    "::1/128",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "fc00::/7",
    "fe80::/10",
)


class Server(Section):
    """What is listened on, by how many workers, for whom."""

    listen: Annotated[tuple[Listen, ...], AfterValidator(distinct)] = Field(
        ("127.0.0.1:5053",),
        description="Addresses with ports, for UDP and TCP. IPv6 in brackets: `[::1]:53`.",
    )
    workers: StrictInt = Field(
        0, ge=0, le=256, description="Worker processes; 0 means one for each core."
    )
    state: AbsolutePath = Field(
        default_factory=default_state,
        description="Folder for snapshots, place tables, last good editions and the control "
        "socket. Default: `$STATE_DIRECTORY` (systemd), else `$XDG_STATE_HOME/geodns`, "
        "else `~/.local/state/geodns`.",
    )
    clients: tuple[Network, ...] = Field(
        DEFAULT_CLIENTS,
        description="Who may ask: addresses or CIDR blocks, matched against the socket's peer. "
        "Peers in `[trust]` always may; all others get REFUSED with EDE 18 (Prohibited).",
    )
    version: Text | None = Field(
        None, description="Answer to `version.bind` CH TXT; unset: REFUSED."
    )
    identity: Text | None = Field(None, description="Answer to `id.server` CH TXT; unset: REFUSED.")
    user: StrictStr | None = Field(
        None,
        description="Whom the server becomes when it was started as root and has its ports; it "
        "keeps nothing of root. Unset: it stays who it is.",
    )
    group: StrictStr | None = Field(
        None, description="Its group then. Unset: the user's own; other groups are the user's."
    )
    cookies: StrictBool = Field(
        True, description="Give out DNS cookies (RFC 7873, RFC 9018) to clients that send one."
    )
    cookie_secrets: AbsolutePath | None = Field(
        None,
        description="File of 1 to 4 secrets that cookies are made with, 32 hexadecimal digits a "
        "line, for servers that share an address; the first makes cookies, the others are still "
        "good. Changes are noticed. Unset: secrets of our own in `state`, renewed every day.",
    )


class Zone(Section):
    """Names about which others are asked."""

    name: Annotated[StrictStr, AfterValidator(usual)] = Field(
        description="The zone: this name and all below it."
    )
    servers: tuple[UpstreamServer, ...] = Field(
        min_length=1, description="Resolvers or authoritative servers, as in `[upstream]`."
    )


def _once_each(zones: tuple[Zone, ...]) -> tuple[Zone, ...]:
    names = [zone.name for zone in zones]
    for one in names:
        if names.count(one) > 1:
            raise ValueError(f"has two zones named {one!r}; write all servers in one")
    return zones


class Upstream(Section):
    """Who is asked for what the cache does not hold."""

    servers: tuple[UpstreamServer, ...] = Field(
        (),
        description="Resolvers to forward to: `ADDRESS[:PORT]`, `tls://ADDRESS[:PORT]#HOSTNAME` "
        "(DNS over TLS) or `https://HOST[:PORT]/PATH@ADDRESS` (DNS over HTTPS). The quickest is "
        "asked first; of those nearly as quick, the one named first. `geodns serve` needs at "
        "least one. See upstream.md.",
    )
    zones: Annotated[tuple[Zone, ...], AfterValidator(_once_each)] = Field(
        (),
        description="Forward zones, `[[upstream.zones]]`: for names in them others are asked. The "
        "longest name that matches wins; local answers (RFC 6303) give way to it.",
    )
    ca: Annotated[AbsolutePath, AfterValidator(readable)] | None = Field(
        None,
        description="PEM file of the authorities that certificates of encrypted upstreams must "
        "be from. Unset: those of the system. They are always verified.",
    )
    case: Literal["keep", "random"] = Field(
        "keep",
        description="`random` sends the letters of each question in random case and wants them "
        "back (draft-vixie-dnsext-dns0x20). Every miss takes the long way then.",
    )
    cookies: StrictBool = Field(
        False,
        description="Whether plain servers are sent DNS cookies (RFC 7873). Every miss takes the "
        "long way then.",
    )
    timeout: Seconds = Field(
        2.0, description="Seconds at the most to wait for a reply before another server is asked."
    )
    attempts: StrictInt = Field(
        2, ge=1, le=10, description="How many times all servers are tried before SERVFAIL."
    )


class Cache(Section):
    """What upstreams said, kept once for all places."""

    size: Octets = Field(
        64 << 20,
        description="Upper bound of a worker's cache, in octets or as `64MiB`; 0 keeps nothing.",
    )
    min_ttl: StrictInt = Field(
        0, ge=0, le=3600, description="Seconds that an answer is kept at the least."
    )
    max_ttl: StrictInt = Field(
        86400, ge=1, le=604800, description="Seconds that an answer is kept at the most."
    )

    serve_stale: Duration = Field(
        0,
        description="How long after it has expired an answer may still be given when upstreams "
        "fail or are slow (RFC 8767), in seconds or as `30m`, `12h`, `1d`; 0 never.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_ttl > self.max_ttl:
            raise ValueError(f"min_ttl ({self.min_ttl}) is above max_ttl ({self.max_ttl})")
        return self


class Trust(Section):
    """Whose word about a client's address is taken."""

    ecs: tuple[Network, ...] = Field(
        (),
        description="Peers whose EDNS Client Subnet (RFC 7871) moves the client's place: "
        "addresses or CIDR blocks. From all others it is ignored.",
    )
    proxy: tuple[Network, ...] = Field(
        (),
        description="Peers that put a PROXY header (version 2) before each datagram and "
        "connection, which tells who their client is: addresses or CIDR blocks. From them it is "
        "required; from all others it is an error.",
    )
    forwarded: tuple[Network, ...] = Field(
        (),
        description="Reverse proxies in front of the block page whose `Forwarded` (RFC 7239) or "
        "`X-Forwarded-For` names the visitor. It lets nobody ask the resolver.",
    )


class Limits(Section):
    """Bounds on what clients can make a worker do."""

    misses: StrictInt = Field(
        2000,
        ge=1,
        le=60000,
        description="Upstream queries in flight in a worker; beyond it clients get SERVFAIL.",
    )
    client_misses: StrictInt | None = Field(
        None,
        ge=1,
        le=600000,
        description="Queries of one client network that may wait for upstreams in a worker; beyond "
        "it that network gets SERVFAIL. Unset: a quarter of `misses`.",
    )
    ipv4_prefix: StrictInt = Field(
        24, ge=8, le=32, description="Leading bits of an IPv4 address that make a client network."
    )
    ipv6_prefix: StrictInt = Field(
        56, ge=16, le=64, description="Leading bits of an IPv6 address that make a client network."
    )
    responses_per_second: StrictInt = Field(
        0,
        ge=0,
        le=1000000,
        description="Response rate limiting: UDP replies a second that a worker sends to one "
        "client network that has shown no valid cookie; 0 for any number.",
    )
    nxdomains_per_second: StrictInt | None = Field(
        None,
        ge=0,
        le=1000000,
        description="The same for NXDOMAIN, which has an account of its own. Unset: as "
        "`responses_per_second`.",
    )
    errors_per_second: StrictInt | None = Field(
        None,
        ge=0,
        le=1000000,
        description="The same for all other errors. Unset: as `responses_per_second`.",
    )
    rate_window: StrictInt = Field(
        15,
        ge=1,
        le=3600,
        description="Seconds for which a network that asked too much is held back at the most, "
        "once it asks no more.",
    )
    rate_slip: StrictInt = Field(
        2,
        ge=0,
        le=10,
        description="Every how manieth reply that is held back leaves truncated (or with "
        "BADCOOKIE) instead, so that a real client gets through; 0 for none.",
    )
    rate_exempt: tuple[Network, ...] = Field(
        (), description="Addresses or CIDR blocks whose replies are not limited."
    )
    rate_only_count: StrictBool = Field(
        False, description="Count what would be held back (`rate/over`) and hold nothing back."
    )
    tcp_connections: StrictInt = Field(
        500, ge=1, le=100000, description="Open TCP connections of a worker."
    )
    tcp_per_client: StrictInt = Field(
        50,
        ge=1,
        le=100000,
        description="Open TCP connections of one client in a worker: of an IPv4 address, or of an "
        "IPv6 network of `ipv6_prefix` bits.",
    )
    tcp_idle: Seconds = Field(
        10.0,
        description="Seconds that a TCP connection may be silent, take for one message, or leave "
        "replies unread.",
    )
    tcp_pipeline: StrictInt = Field(
        100, ge=1, le=10000, description="Unanswered queries on one TCP connection."
    )


class Errors(Section):
    """How replies explain themselves to clients that ask for it."""

    structured_option: StrictInt | None = Field(
        None,
        ge=20,
        le=65534,
        description="Code of the empty EDNS option by which a client asks for structured errors "
        "(draft-ietf-dnsop-structured-dns-error; not assigned yet). Unset: only the older "
        "signal counts, an EDE option in the query that says nothing.",
    )
    structured_transports: Literal["any", "encrypted"] = Field(
        "any",
        description="Where structured errors are sent. Clients must not act on what comes without "
        "protection; `encrypted` spares the octets: until geodns has encrypted transports "
        "it means nowhere.",
    )
    info_url: InfoUrl | None = Field(
        None,
        description="`https:` page about this resolver, told by RESINFO (RFC 9606) of "
        "`resolver.arpa`. Unset: none is told.",
    )
