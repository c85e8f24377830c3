from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.model import name
from geodns.model.name import NameFault, parse, to_text

LABEL = st.text(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", min_size=1, max_size=63
)
RAW_LABEL = st.binary(min_size=1, max_size=63)


def plain_names() -> st.SearchStrategy[str]:
    labels = st.lists(LABEL.filter(lambda label: not label.lower().startswith("xn--")), max_size=5)
    last = st.text("abcXYZ", min_size=1, max_size=10)
    return (
        st.tuples(labels, last)
        .map(lambda pair: ".".join([*pair[0], pair[1]]))
        .filter(lambda text: len(text) <= 253)
    )


def raw_names() -> st.SearchStrategy[bytes]:
    return (
        st.lists(RAW_LABEL, max_size=6)
        .map(lambda labels: b"".join(bytes([len(label)]) + label for label in labels) + b"\0")
        .filter(lambda wire: len(wire) <= 255)
    )


@given(plain_names())
def test_plain_names_come_back_as_they_were_in_lower_case(text: str) -> None:
    assert to_text(parse(text)) == text.lower()


@given(plain_names())
def test_case_and_a_trailing_dot_are_folded_away(text: str) -> None:
    assert parse(text.upper()) == parse(text.lower()) == parse(text + ".") == parse(f" {text}\t")


@given(st.text())
def test_any_text_is_a_name_or_a_fault(text: str) -> None:
    try:
        wire = parse(text)
    except NameFault:
        return
    assert len(wire) <= 255
    assert wire == wire.lower()
    assert parse(to_text(wire)) == wire


@given(raw_names())
def test_folding_lowers_ascii_letters_and_nothing_else(wire: bytes) -> None:
    expected = bytes(octet + 32 if 0x41 <= octet <= 0x5A else octet for octet in wire)
    assert name.fold(wire) == expected


@given(raw_names())
def test_labels_come_apart_and_together(wire: bytes) -> None:
    assert name.from_labels(name.labels(wire)) == wire.lower()


@given(raw_names())
def test_text_of_different_names_differs(wire: bytes) -> None:
    text = to_text(wire)
    assert text.isascii()
    assert text.isprintable()
    back = []
    for part in _split(text) if text != "." else []:
        back.append(part)
    assert tuple(back) == name.labels(wire)


def _split(text: str) -> list[bytes]:
    """Read presentation format back: a dot splits unless it is escaped."""
    labels, label, at = [], bytearray(), 0
    while at < len(text):
        if text[at] == "\\":
            if text[at + 1].isdigit():
                label.append(int(text[at + 1 : at + 4]))
                at += 4
            else:
                label.append(ord(text[at + 1]))
                at += 2
            continue
        if text[at] == ".":
            labels.append(bytes(label))
            label = bytearray()
        else:
            label.append(ord(text[at]))
        at += 1
    return [*labels, bytes(label)]


@given(raw_names(), raw_names())
def test_at_or_below_is_a_matter_of_labels(wire: bytes, above: bytes) -> None:
    mine, others = name.labels(wire), name.labels(above)
    expected = mine[len(mine) - len(others) :] == others if len(others) <= len(mine) else False
    assert name.is_at_or_below(wire, above) == expected


def test_at_or_below_by_example() -> None:
    above = parse("example.org")
    assert name.is_at_or_below(parse("example.org"), above)
    assert name.is_at_or_below(parse("a.b.example.org"), above)
    assert not name.is_at_or_below(parse("badexample.org"), above)
    assert not name.is_at_or_below(parse("org"), above)
    assert name.is_at_or_below(above, name.ROOT)
    # Octets that look like a label border are none.
    assert not name.is_at_or_below(b"\x0fa\x07example\x03org\x00x\x00", above)


def test_ancestors_are_longest_first_without_the_root() -> None:
    found = [to_text(wire) for wire in name.ancestors(parse("a.b.example.org"))]
    assert found == ["a.b.example.org", "b.example.org", "example.org", "org"]


@pytest.mark.parametrize(
    ("text", "wire"),
    [
        ("Example.ORG.", b"\x07example\x03org\x00"),
        ("_dmarc.example.org", b"\x06_dmarc\x07example\x03org\x00"),
        ("bücher.de", b"\x0dxn--bcher-kva\x02de\x00"),
        ("BÜCHER.DE", b"\x0dxn--bcher-kva\x02de\x00"),
        ("_x.bücher.de", b"\x02_x\x0dxn--bcher-kva\x02de\x00"),
        ("straße.de", b"\x0dxn--strae-oqa\x02de\x00"),
        ("例え。jp", b"\x0bxn--r8jz45g\x02jp\x00"),
        ("XN--Bcher-KVA.de", b"\x0dxn--bcher-kva\x02de\x00"),
        ("com", b"\x03com\x00"),
        ("1.0.168.192.in-addr.arpa", b"\x011\x010\x03168\x03192\x07in-addr\x04arpa\x00"),
    ],
)
def test_names_in_wire_format(text: str, wire: bytes) -> None:
    assert parse(text) == wire


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        ("   ", "empty"),
        (".", "root"),
        ("http://example.org", "URL"),
        ("example.org/path", "URL or has a path"),
        ("192.0.2.1", "IP address"),
        ("2001:db8::1", "IP address"),
        ("[2001:db8::1]", "IP address"),
        ("192.0.2.0/24", "path"),
        ("256.1.1.1", "ends in a number"),
        ("*.example.org", "wildcard"),
        ("example.org:8080", "port"),
        ("two words.org", "white space"),
        ("a..org", "empty label"),
        (".example.org", "empty label"),
        ("example.org..", "empty label"),
        ("a" * 64 + ".org", "over 63"),
        ("ü" * 60 + ".org", "internationalised"),
        (".".join(["a" * 63] * 4) + ".org", "over 255"),
        ("ex!ample.org", "no host or service label"),
        ("||example.org^", "no host or service label"),
        ("user@example.org", "no host or service label"),
        ("xn--99999999.de", "punycode"),
        ("☃.net", "internationalised"),
        ("\u200d.de", "internationalised"),
        ("ex／ample.de", "no host or service label"),
        ("\ud800.de", "internationalised"),
        ("nul\0.de", "no host or service label"),
    ],
)
def test_what_is_no_name_is_quoted_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(NameFault) as caught:
        parse(text)
    assert why in str(caught.value)
    if text.strip():
        assert repr(text[:50])[:-1] in str(caught.value)


def test_long_texts_are_not_quoted_whole() -> None:
    with pytest.raises(NameFault) as caught:
        parse("x" * 100_000)
    assert len(str(caught.value)) < 300


def test_text_escapes_what_would_mislead() -> None:
    assert to_text(b"\x03a.b\x03org\x00") == "a\\.b.org"
    assert to_text(b"\x02\x00\xff\x00") == "\\000\\255"
    assert to_text(name.ROOT) == "."
