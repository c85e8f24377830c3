"""The operator's settings as models: every key, its default, its bounds and its meaning.

Only the parent and the commands import this module; workers get the settings as JSON
(``settings.model_dump(mode="json")``).
"""

from __future__ import annotations

import os
import re
import ssl
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    ValidationInfo,
    model_validator,
)

from geodns import shipped
from geodns.model import contact, name
from geodns.model.endpoint import join_endpoint, parse_endpoint, parse_network
from geodns.model.resolver import parse_resolver

DEFAULT_CLIENTS = (
    "127.0.0.0/8",
    "::1/128",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "fc00::/7",
    "fe80::/10",
)
_UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def _base(info: ValidationInfo) -> Path:
    return info.context["base"] if info.context else Path.cwd()


def _path(value: object, info: ValidationInfo) -> object:
    if not isinstance(value, str | Path) or not str(value):
        return value
    return (_base(info) / Path(value).expanduser()).resolve()


def _listen(text: str) -> str:
    return join_endpoint(*parse_endpoint(text, None))


def _distinct(listen: tuple[str, ...]) -> tuple[str, ...]:
    if not listen:
        raise ValueError("must not be empty")
    return _no_twins(listen)


def _no_twins(listen: tuple[str, ...]) -> tuple[str, ...]:
    # Port 0 is any free port, so it may stand more than once.
    fixed = [text for text in listen if not text.endswith(":0")]
    for text in fixed:
        if fixed.count(text) > 1:
            raise ValueError(f"has {text!r} twice")
    return listen


def _upstream(text: str) -> str:
    resolver = parse_resolver(text)
    if resolver.scheme == "https" and find_spec("h2") is None:
        raise ValueError(f"{text!r} needs the package h2: pip install 'geodns[doh]'")
    return resolver.text


def _usual(text: str) -> str:
    return name.to_text(name.parse(text))


def _readable(path: Path) -> Path:
    try:
        ssl.create_default_context(cafile=path)
    except ssl.SSLError:
        raise ValueError(f"{path} holds no certificates in PEM form") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    return path


def _duration(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"(\d+)\s*([smhd])", value.strip())
    if match is None:
        raise ValueError(f"{value!r} is no duration; write seconds (3600) or 30m, 12h, 1d")
    return int(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]


def _octets(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"(\d+)\s*(KiB|MiB|GiB|)", value.strip())
    if match is None:
        raise ValueError(f"{value!r} is no size; write octets (67108864) or 64MiB, 512KiB, 1GiB")
    return int(match[1]) * _UNITS[match[2]]


def _name(text: str) -> str:
    name.parse(text)
    return text


def _info_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme != "https" or not parts.hostname or not re.fullmatch(r"[!-~]+", text):
        raise ValueError(f"{text!r} is no https: address in ASCII")
    if len(text) > 200:
        raise ValueError("is over 200 octets long")
    return text


def _identity(text: str) -> str:
    if len(text.encode()) > 255:
        raise ValueError("is over 255 octets long, which no TXT string holds")
    return text


AbsolutePath = Annotated[Path, BeforeValidator(_path)]
Network = Annotated[StrictStr, AfterValidator(parse_network)]
Listen = Annotated[StrictStr, AfterValidator(_listen)]
UpstreamServer = Annotated[StrictStr, AfterValidator(_upstream)]
Octets = Annotated[StrictInt, BeforeValidator(_octets), Field(ge=0, le=1 << 40)]
Duration = Annotated[StrictInt, BeforeValidator(_duration), Field(ge=0, le=604800)]
DomainName = Annotated[StrictStr, AfterValidator(_name)]
Text = Annotated[StrictStr, AfterValidator(_identity)]
NodeName = Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,252}[A-Za-z0-9])?$")]
OneLine = Annotated[StrictStr, AfterValidator(contact.one_line)]
WebAddress = Annotated[StrictStr, AfterValidator(contact.web_address)]
ContactAddress = Annotated[StrictStr, AfterValidator(contact.contact_address)]
PageLanguage = Literal["de", "en", "es", "fr", "it"]
InfoUrl = Annotated[StrictStr, AfterValidator(_info_url)]
Seconds = Annotated[StrictFloat, Field(ge=0.01, le=3600)]


class Section(BaseModel):
    """A section of the settings: immutable, unknown keys are faults."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=False)


def default_state() -> Path:
    """Where state is kept unless set: systemd's directory, else the user's XDG state folder."""
    if systemd := os.environ.get("STATE_DIRECTORY"):
        return Path(systemd.split(":")[0])
    home = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(home).expanduser() / "geodns"


def default_databases(base: Path | None = None) -> tuple[Path, ...]:
    """``data/*.mmdb`` below ``base`` (the current folder), else the database that ships."""
    local = (base or Path.cwd()) / "data"
    folder = local if any(local.glob("*.mmdb")) else shipped.data()
    return tuple(sorted(path.resolve() for path in folder.glob("*.mmdb")))


def default_directories(base: Path | None = None) -> tuple[Path, ...]:
    """``orders`` below ``base`` (the current folder), else the orders that ship."""
    local = (base or Path.cwd()) / "orders"
    return ((local if local.is_dir() else shipped.orders()).resolve(),)


DEFAULTS_ON_DISK = {
    ("geoip", "databases"): default_databases,
    ("orders", "directories"): default_directories,
}
"""Keys whose default depends on what lies beside the settings file."""


class Server(Section):
    """What is listened on, by how many workers, for whom."""

    listen: Annotated[tuple[Listen, ...], AfterValidator(_distinct)] = Field(
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

    name: Annotated[StrictStr, AfterValidator(_usual)] = Field(
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
    ca: Annotated[AbsolutePath, AfterValidator(_readable)] | None = Field(
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
    webhook: WebAddress | None = Field(
        None,
        description="Where the server POSTs a JSON document, once for each event: a missed "
        "deadline, a review due, an order that expires within 30 days, targets that are held.",
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


class Metrics(Section):
    """Figures for Prometheus (`/metrics`), and how the server is (`/healthz`, `/readyz`)."""

    listen: Listen | None = Field(
        None,
        description="`ADDRESS:PORT` of an HTTP server for them, such as `127.0.0.1:9153`. Whoever "
        "reaches it may read it. Unset: none.",
    )
    orders: StrictInt = Field(
        200,
        ge=0,
        le=10000,
        description="How many orders have figures of their own; the rest are added up as `other`.",
    )


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


class Log(Section):
    """The log on stderr, and the log of rulings. Neither holds a client's address."""

    format: Literal["text", "json"] = Field(
        "text", description="Lines for people, or one JSON document a line."
    )
    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="What is logged: this and what is graver."
    )
    rulings: AbsolutePath | None = Field(
        None,
        description="File to which a JSON line is appended for each block, and for each that was "
        "only not one because of `shadow` or `never_block`. With it every block takes the long "
        "way. Unset: none.",
    )


class BlockPage(Section):
    """The page over plain HTTP that tells visitors of sinkholed names why they are there."""

    listen: Annotated[tuple[Listen, ...], AfterValidator(_no_twins)] = Field(
        (),
        description="Addresses with ports (80, for browsers) that the sinkhole addresses of your "
        "orders lead to; empty: `geodns serve` runs no block page.",
    )
    operator: OneLine | None = Field(
        None,
        description="Your name, as visitors know it. Unset: the host of `operator_url`.",
    )
    operator_url: WebAddress | None = Field(
        None,
        description='Your page on blocking. It is the target of `Link: rel="blocked-by"`, which '
        "names who carries the block out (RFC 7725 section 4). Required with `listen`.",
    )
    contact: tuple[ContactAddress, ...] = Field(
        (),
        description="Whom visitors may ask about this server: `mailto:`, `tel:` and web addresses.",
    )
    language: PageLanguage = Field(
        "en",
        description="Language for visitors whose browser asks for none that the page has: "
        "`de`, `en`, `es`, `fr` or `it`.",
    )
    connections: StrictInt = Field(
        500, ge=1, le=10000, description="Open connections of the block page."
    )

    @model_validator(mode="after")
    def _says_who_blocks(self) -> Self:
        if self.listen and self.operator_url is None:
            raise ValueError(
                "operator_url is required with listen: the page must say who carries the block"
                " out (RFC 7725 section 4)"
            )
        return self


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


class Settings(Section):
    """The whole of geodns.toml. Every key has a default; unknown keys are faults."""

    server: Server = Field(default_factory=Server)
    upstream: Upstream = Field(default_factory=Upstream)
    cache: Cache = Field(default_factory=Cache)
    geoip: Geoip = Field(default_factory=Geoip)
    trust: Trust = Field(default_factory=Trust)
    orders: Orders = Field(default_factory=Orders)
    limits: Limits = Field(default_factory=Limits)
    metrics: Metrics = Field(default_factory=Metrics)
    feeds: Feeds = Field(default_factory=Feeds)
    ledger: Ledger = Field(default_factory=Ledger)
    log: Log = Field(default_factory=Log)
    blockpage: BlockPage = Field(default_factory=BlockPage)
    errors: Errors = Field(default_factory=Errors)

    _path: Path | None = PrivateAttr(default=None)
    _filled: frozenset[str] = PrivateAttr(default=frozenset())

    @property
    def path(self) -> Path | None:
        """The settings file, absolute; None when the defaults are used without one."""
        return self._path

    @property
    def unset(self) -> frozenset[str]:
        """Which of DEFAULTS_ON_DISK nobody set: their values are what was found at reading."""
        return frozenset(
            f"{section}.{key}"
            for section, key in DEFAULTS_ON_DISK
            if f"{section}.{key}" in self._filled
            or key not in getattr(self, section).model_fields_set
        )

    def worker_count(self) -> int:
        """How many workers are started: as set, or one for each core this process may use."""
        return self.server.workers or len(os.sched_getaffinity(0))
