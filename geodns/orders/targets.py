"""Names and networks of an order: texts in, folded names and networks out, every bad entry told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from geodns.fastpath.index import PLAIN, plain_names
from geodns.model.name import NameFault, parse
from geodns.model.namelist import NameList
from geodns.orders.loaded import Network

BIG = 1 << 18
"""Octets from which a list file is first tried the quick way."""
MAX_TOLD = 1000
"""Bad entries of one list that are told one by one; the rest is counted."""

_LENGTH = tuple(bytes((size,)) for size in range(64))


@dataclass(slots=True)
class Entries:
    """What a list of names holds.

    names: folded wire-format name -> line of its first mention (0 in a TOML array).
    repeats: (line, name) of later mentions. bad: (line or index, message), in order.
    """

    names: dict[bytes, int] = field(default_factory=dict)
    repeats: list[tuple[int, bytes]] = field(default_factory=list)
    bad: list[tuple[int, str]] = field(default_factory=list)


def read_list(data: bytes) -> Entries:
    """Read a list file: UTF-8, one name a line, ``#`` starts a comment.

    A byte order mark, CRLF, blank lines and a missing last line end are tolerated.
    """
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        octet = data[error.start]
        return Entries(bad=[(line, f"is not UTF-8: octet 0x{octet:02x}; save the list as UTF-8")])
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    return _read((number, line) for number, line in enumerate(lines, 1))


def read_big(data: bytes) -> NameList | None:
    """Read a big list file that holds plain names, each once, and comments, and no more.

    None for all others, which read_list reads and says what is wrong with.
    """
    if len(data) < BIG:
        return None
    names, starts, odd, repeats = plain_names(data)
    if repeats or any(line.strip()[:1] != b"#" for _, line in odd):
        return None
    return NameList(names, starts)


def read_names(texts: Sequence[str]) -> Entries:
    """Read the names of a TOML array; ``bad`` counts entries from 0."""
    entries = Entries()
    for index, text in enumerate(texts):
        _add(entries, index, text.encode("utf-8", "replace"), text)
    return entries


def _read(lines: Iterator[tuple[int, bytes]]) -> Entries:
    entries = Entries()
    names = entries.names
    plain = PLAIN.match
    for number, line in lines:
        line = line.lower()
        if plain(line):
            wire = b"".join([_LENGTH[len(label)] + label for label in line.split(b".")]) + b"\x00"
            if wire in names:
                entries.repeats.append((number, wire))
            else:
                names[wire] = number
        else:
            # As text: a stray no-break space is a blank too.
            text = line.partition(b"#")[0].decode("utf-8").strip()
            if text:
                _add(entries, number, text.encode(), text)
    told = len(entries.bad)
    if told > MAX_TOLD:
        number = entries.bad[MAX_TOLD][0]
        entries.bad[MAX_TOLD:] = [(number, f"and {told - MAX_TOLD} more entries like these")]
    return entries


def _add(entries: Entries, number: int, raw: bytes, text: str) -> None:
    raw = raw.lower()
    try:
        if PLAIN.match(raw):
            wire = b"".join([_LENGTH[len(label)] + label for label in raw.split(b".")]) + b"\x00"
        else:
            wire = parse(text)
    except NameFault as fault:
        entries.bad.append((number, str(fault)))
        return
    if wire in entries.names:
        entries.repeats.append((number, wire))
    else:
        entries.names[wire] = number


def read_network(text: str) -> Network:
    """Read an address or a CIDR block. Raises ValueError with a message that quotes it.

    Bits set behind the prefix, netmasks, zone ids and IPv4-mapped blocks are errors: none
    of them says for certain what was ordered.
    """
    stripped = text.strip()
    address_text, slash, prefix_text = stripped.partition("/")
    try:
        if "%" in stripped or (slash and not (prefix_text.isascii() and prefix_text.isdigit())):
            raise ValueError
        address: IPv4Address | IPv6Address = ip_address(address_text)
        network = ip_network(stripped, strict=False)
    except ValueError:
        raise ValueError(
            f"{text!r} is no IP address or CIDR block; write 203.0.113.7 or 203.0.113.0/24"
        ) from None
    if network.network_address != address:
        raise ValueError(f"{text!r} has bits set behind its prefix; did you mean {network}?")
    if network.prefixlen == 0:
        raise ValueError(f"{text!r} is the whole address space")
    if isinstance(network, IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            raise ValueError(
                f"{text!r} is IPv4 written as IPv6; write {mapped}/{network.prefixlen - 96}"
            )
    return network


def read_target(text: str) -> bytes | Network:
    """Read a name or a network, as an order file writes targets. Raises ValueError."""
    try:
        return read_network(text)
    except ValueError:
        return parse(text)
