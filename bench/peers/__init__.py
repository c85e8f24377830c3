"""The servers that are measured, each set up for per-country blocking as its documents say."""

from __future__ import annotations

from bench.peers.bind import BindAcl, BindGeoip
from bench.peers.dnsdist import Dnsdist
from bench.peers.geodns import Geodns, GeodnsPure
from bench.peers.kresd import Kresd
from bench.peers.pdns import PdnsLua, PdnsRpz
from bench.peers.peer import Peer
from bench.peers.plain import Echo, PlainSocket, PlainUvloop
from bench.peers.unbound import UnboundRpz, UnboundTags, UnboundViews

PEERS: tuple[type[Peer], ...] = (
    Echo,
    PlainSocket,
    PlainUvloop,
    Geodns,
    GeodnsPure,
    UnboundViews,
    UnboundTags,
    UnboundRpz,
    Dnsdist,
    Kresd,
    PdnsLua,
    PdnsRpz,
    BindGeoip,
    BindAcl,
)
"""In the order of the tables."""
