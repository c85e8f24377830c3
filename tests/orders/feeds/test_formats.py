"""Each list format: a small list of our own making, and what is made of it."""

from __future__ import annotations

import gzip
import json
from datetime import date
from pathlib import Path

import pytest

from geodns.model.name import to_text
from geodns.orders.feeds.formats import FORMATS, NAMED, find_format
from geodns.orders.feeds.row import FeedFault, Reason
from geodns.orders.feeds.take import Taken, take

TODAY = date(2026, 11, 22)

HOSTS = """\ufeff127.0.0.1 localhost
127.0.0.1 www.one.example\x20
0.0.0.0 two.example # a remark
0.0.0.0 two.example
0.0.0.0 nonché
"""
PLAIN = """# names
one.example
TWO.example.
http://three.example/
https://four.example/page
five.example:8080
192.0.2.7
bücher.example
co.uk
not a name
*.six.example # all of them
user@seven.example
https://one.example
"""
ANNEX = "\ufeff0000311_2024.06.06\r\none.example\r\nhttp://two.example\r\n192.0.2.0/24\r\n"
ADBLOCK = """[Adblock Plus]
! title
||one.example^
||two.example^$all
||three.example/page^
@@||free.example^
example.org##.advert
"""
UBLACKLIST = "*://*.one.example/*\n*://two.example/*\n*://three.example/page/*\n/regular/\n"
RPZ = """$TTL 60
$ORIGIN rpz.test.
@ IN SOA localhost. root.localhost. (
    2 ; serial
    3H 1H 1W 1H)
  IN NS localhost.
one.example CNAME .
*.one.example CNAME .
two.example 300 IN CNAME *.
*.three.example.rpz.test. CNAME .
four.example CNAME rpz-passthru.
five.example A 192.0.2.1
24.0.2.0.192.rpz-ip CNAME .
six.example/page CNAME .
"""
CZECH = (
    "Objekt blokace;Adresa internetové stránky;Název aplikace;Identifikátor;Účet;Důvody;Od;Do\r\n"
    "Internetová stránka;one.example ;;;;§ 84a;26.07.2017;\r\n"
    'Internetová stránka;two.example;;;;"a; b\r\nc";26.07.2017;04.01.2023\r\n'
    "Internetová stránka;three.example;;;;x;26.07.2017;04.01.2099\r\n"
    "Internetová stránka;four.example/hry;;;;x;26.07.2017;\r\n"
    "Internetová stránka;five.example;;;;x;26.07.2017;neznámo\r\n"
    "Platební účet;;;;599/0800;x;26.07.2017;\r\n"
).encode("cp1250")
CSV_URL = (
    'URL,DATUM_ZAPISU,DATUM_VYMAZU\r\n"one.example","2022-12-07",\r\n'
    "two.example,2022-12-07,2023-01-01\r\n"
)
RUSSIAN = (
    "Updated: 2020-02-04 12:00:00 +0000\n"
    "192.0.2.1 | 2001:db8::1;one.example;;ФНС;1-1;2020-01-01\n"
    "192.0.2.1;two.example;https://two.example/a.html | https://two.example/b;Мосгорсуд;2;2020-01-02\n"
    "192.0.2.2;*.three.example;;ФНС;3;2020-01-03\n"
    '192.0.2.3;four.example;"https://four.example/;";Мосгорсуд;4;2020-01-03\n'
    "192.0.2.4;;;ФНС;5;2020-01-03\n"
).encode("cp1251")
HAZARD = """<?xml version="1.0"?>
<Rejestr xmlns="http://www.hazard.mf.gov.pl/2017/03/21/">
 <PozycjaRejestru Lp="7"><AdresDomeny>one.example</AdresDomeny>
  <DataWpisu>2017-07-01T10:00:00</DataWpisu></PozycjaRejestru>
 <PozycjaRejestru Lp="8"><AdresDomeny>two.example</AdresDomeny>
  <DataWpisu>2017-07-01T10:00:00</DataWpisu>
  <DataWykreslenia>2018-07-01T10:00:00</DataWykreslenia></PozycjaRejestru>
 <PozycjaRejestru Lp="9"><DataWpisu>2017-07-01T10:00:00</DataWpisu></PozycjaRejestru>
</Rejestr>
"""
CERT_JSON = json.dumps(
    [
        {
            "RegisterPositionId": 1,
            "DomainAddress": "one.example",
            "InsertDate": "2024-01-01T00:00:00",
        },
        {
            "RegisterPositionId": 2,
            "DomainAddress": "two.example",
            "DeleteDate": "2024-01-02T00:00:00",
        },
        {"RegisterPositionId": 3},
        "four",
    ]
)
CERT_TSV = (
    "RegisterPositionId\tDomainAddress\tInsertDate\tDeleteDate\n"
    "1\tone.example\t2024-01-01\t\n2\ttwo.example\t2024-01-01\t2024-01-02\n"
)
CUII = json.dumps(
    {
        "date": "x",
        "list": [{"domain": "one.example", "first_blocked_on": "2024-07-21"}, {"site": 1}],
    }
)
SHIELD = json.dumps(
    [
        {
            "ticket_id": "a",
            "fqdn": ["live.one.example"],
            "ipv4": ["192.0.2.9"],
            "ipv6": [],
            "metadata": {"created_at": "2026-01-01T20:00:00Z"},
        },
        {"no": "ticket"},
    ]
)
MIKROTIK = """# RouterOS
/ip firewall address-list
add address=192.0.2.0/28 list=blocked
/ip dns static
add name=one.example address=127.0.0.1
add name="two.example" address=127.0.0.1 match-subdomain=yes
/ip dns static add regexp=".*" address=127.0.0.1
"""
UKRAINE = json.dumps(
    {
        "authority": {"NCU": "x"},
        "orders": [
            {"number": "3/12", "action": "unblock", "date": "2025-01-02", "attachments": [
                {"lines": ["TWO.example", "never.example"]}]},
            {"number": "1/10", "action": "block", "date": "2025-01-01", "attachments": [
                {"lines": ["https://one.example/", "two.example", "three.example", ""]}]},
            {"number": "2/11", "action": "unblock", "date": None, "attachments": [
                {"lines": ["http://three.example"]}]},
            {"number": "4/13", "action": "sanctions", "date": "2025-01-03", "attachments": [
                {"lines": ["three.example"]}]},
            {"number": "5/14", "action": "block_ip", "date": "2025-01-03", "attachments": [
                {"lines": ["192.0.2.77"]}]},
            {"number": "6/15", "action": "unknown", "attachments": [{"lines": ["six.example"]}]},
        ],
    }
)  # fmt: skip

Made = dict[str, list[str]]
SAMPLES: dict[str, tuple[str | bytes, Made, dict[Reason, int]]] = {
    "hosts": (
        HOSTS,
        {"exact": ["www.one.example", "two.example"]},
        {"duplicate": 1, "public suffix": 1},
    ),
    "plain": (
        PLAIN,
        {
            "domains": ["one.example", "two.example", "three.example", "xn--bcher-kva.example"],
            "below": ["six.example"],
        },
        {"path": 1, "port": 1, "address": 1, "public suffix": 1, "not a name": 2, "duplicate": 1},
    ),
    "agcom-annex": (
        ANNEX,
        {"domains": ["one.example", "two.example"], "networks": ["192.0.2.0/24"]},
        {},
    ),
    "ip-list": (
        "192.0.2.1\n2001:db8::/32\n192.0.2.1\n192.0.2.3/24\n",
        {"networks": ["192.0.2.1/32", "2001:db8::/32"]},
        {"duplicate": 1, "not a name": 1},
    ),
    "adblock": (
        ADBLOCK,
        {"domains": ["one.example", "two.example"]},
        {"path": 1, "wrong type": 2},
    ),
    "ublacklist": (
        UBLACKLIST,
        {"domains": ["one.example"], "exact": ["two.example"]},
        {"path": 1, "wrong type": 1},
    ),
    "rpz": (
        RPZ,
        {"domains": ["one.example"], "exact": ["two.example"], "below": ["three.example"]},
        {"wrong type": 3, "path": 1},
    ),
    "cz-mfcr": (
        CZECH,
        {"domains": ["one.example", "three.example"]},
        {"deleted": 1, "path": 1, "unreadable": 1, "wrong type": 1},
    ),
    "csv-url": (CSV_URL, {"domains": ["one.example"]}, {"deleted": 1}),
    "ru-register": (
        RUSSIAN,
        {
            "domains": ["one.example"],
            "below": ["three.example"],
            "networks": ["192.0.2.4/32"],
        },
        {"path": 3},
    ),
    "pl-hazard": (HAZARD, {"domains": ["one.example"]}, {"deleted": 1, "unreadable": 1}),
    "pl-cert-json": (CERT_JSON, {"domains": ["one.example"]}, {"deleted": 1, "unreadable": 2}),
    "pl-cert-tsv": (CERT_TSV, {"domains": ["one.example"]}, {"deleted": 1}),
    "de-cuii": (CUII, {"domains": ["one.example"]}, {"unreadable": 1}),
    "it-piracy-shield": (
        SHIELD,
        {"exact": ["live.one.example"], "networks": ["192.0.2.9/32"]},
        {"unreadable": 1},
    ),
    "mikrotik": (
        MIKROTIK,
        {"exact": ["one.example"], "domains": ["two.example"], "networks": ["192.0.2.0/28"]},
        {"wrong type": 1},
    ),
    "ua-orders": (
        UKRAINE,
        {"domains": ["one.example", "three.example"], "networks": ["192.0.2.77/32"]},
        {"deleted": 1, "wrong type": 2},
    ),
}


def made(taken: Taken) -> Made:
    found = {
        "domains": [to_text(name) for name in taken.domains],
        "exact": [to_text(name) for name in taken.exact],
        "below": [to_text(name) for name in taken.below],
        "networks": [str(network) for network in taken.networks],
    }
    return {key: texts for key, texts in found.items() if texts}


def octets(sample: str | bytes) -> bytes:
    return sample.encode() if isinstance(sample, str) else sample


def test_each_format_has_a_sample() -> None:
    assert set(SAMPLES) == set(NAMED)
    assert len(NAMED) == len(FORMATS)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_list_is_told_by_its_content_and_read(name: str) -> None:
    sample, expected, rejected = SAMPLES[name]
    data = octets(sample)
    assert find_format(data).name == name
    taken = take(data, TODAY)
    assert made(taken) == expected
    assert dict(taken.reasons()) == rejected
    # Nothing is dropped in silence: each row is a target, or rejected with its reason.
    merged = 1 if name == "rpz" else 0  # a name and what is below it are one target
    assert taken.rows == taken.count + merged + len(taken.rejected)
    assert made(take(data, TODAY, name)) == expected, "the same when it is named"


@pytest.mark.parametrize("name", SAMPLES)
def test_line_ends_and_a_byte_order_mark_change_nothing(name: str) -> None:
    sample, expected, _ = SAMPLES[name]
    if isinstance(sample, bytes):
        pytest.skip("its own encoding has no byte order mark")
    data = b"\xef\xbb\xbf" + sample.removeprefix("\ufeff").replace("\r\n", "\n").encode()
    assert made(take(data, TODAY)) == expected
    assert made(take(data.replace(b"\n", b"\r\n"), TODAY)) == expected
    assert made(take(data.rstrip(), TODAY)) == expected, "no end of the last line"


def test_a_name_is_what_the_order_says_it_is() -> None:
    data = octets(HOSTS)
    assert made(take(data, TODAY, match="domain")) == {
        "domains": ["www.one.example", "two.example"]
    }
    assert "exact" in made(take(octets(PLAIN), TODAY, match="exact"))


def test_ukrainian_orders_come_packed() -> None:
    packed = gzip.compress(UKRAINE.encode())
    assert made(take(gzip.decompress(packed), TODAY)) == SAMPLES["ua-orders"][1]
    assert made(take(UKRAINE.encode(), date(2025, 1, 1)))["domains"] == [
        "one.example",
        "two.example",
        "three.example",
    ], "what is lifted later is still ordered before"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "empty"),
        (b" \r\n", "empty"),
        (b"<!DOCTYPE html><title>503</title>", "HTML"),
        (b"\xef\xbb\xbf\n <html lang=it>", "HTML"),
        (b"one.example\0two.example\n", "zero octets"),
    ],
)
def test_what_is_no_list_is_refused_whatever_was_expected(data: bytes, told: str) -> None:
    for name in (None, "plain"):
        with pytest.raises(FeedFault, match=told):
            take(data, TODAY, name)


def test_a_list_in_no_format_we_know_is_refused() -> None:
    with pytest.raises(FeedFault, match="its format is not one of: adblock, "):
        take(b"one, two, three and some prose\n", TODAY)


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("nosuch", b"one.example\n", "no format"),
        ("plain", b"one.example\nb\xfccher.example\n", "line 2: octet 0xfc is not UTF-8"),
        ("pl-hazard", b"<Rejestr><PozycjaRejestru>\n", "no whole XML"),
        ("pl-hazard", b'<!DOCTYPE x [<!ENTITY a "b">]>' + HAZARD[22:].encode(), "entities"),
        ("pl-hazard", b"<Register/>\n<!-- Rejestr -->", "root"),
        ("pl-cert-json", b'[{"DomainAddress": ', "line 1"),
        ("de-cuii", b'{"list": 1, "domain": 2}', "no 'list'"),
        ("rpz", RPZ.replace("1W 1H)", "1W 1H").encode(), "parenthesis"),
        ("rpz", b"$INCLUDE other\none.example CNAME .\n", "INCLUDE"),
        ("ua-orders", b'{"orders": [{"number": "x"}], "a": "NCU"}', "running number"),
        ("pl-cert-tsv", b"one.example\n", "DomainAddress"),
    ],
)  # fmt: skip
def test_a_list_that_is_damaged_is_refused_and_says_where(
    name: str, data: bytes, told: str
) -> None:
    with pytest.raises(FeedFault, match=told):
        take(data, TODAY, name)


def test_the_page_about_lists_names_every_format() -> None:
    page = Path(__file__).parents[3].joinpath("docs", "feeds.md").read_text()
    told = page.partition("<!-- feeds: formats -->")[2].partition("<!-- end -->")[0]
    rows = [line for line in told.splitlines() if line.startswith("| `")]
    assert len(rows) == len(FORMATS)
    for row, format_ in zip(rows, FORMATS, strict=True):
        assert row.startswith(f"| `{format_.name}` | ")
        assert row.replace("`", "").replace("\\|", "|").endswith(f" {format_.about} |")
