from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.errors import Fault
from geodns.model.name import parse
from geodns.orders.read import Reading, edition_of, read_order
from tests.orders.sample import GOOD, good

LISTS = {
    "a.txt": b"one.example\n",
    "nul.txt": b"",
    "latin.txt": "first.example\nb\xfccher.de\n".encode("latin-1"),
    "bad.txt": b"good.example\nhttp://bad.example/x\n192.0.2.1\n\n# c\n*.bad.example # no\n",
}


def fetch(name: str) -> bytes:
    if name == "secret.txt":
        raise PermissionError(13, "Permission denied", name)
    try:
        return LISTS[name]
    except KeyError:
        raise FileNotFoundError(name) from None


def read(text: str | bytes, place: str = "IT", stem: str = "a") -> Reading:
    data = text.encode() if isinstance(text, str) else text
    return read_order(f"orders/{place}/{stem}.toml", place, data, fetch)


def only(reading: Reading) -> Fault:
    assert len(reading.faults) == 1, [str(fault) for fault in reading.faults]
    assert reading.order is None
    return reading.faults[0]


def changed(old: str, new: str) -> str:
    text = good("a")
    assert text.count(old) == 1
    return text.replace(old, new)


def with_key(line: str) -> str:
    """The good order with one more key at the top."""
    return changed('title = "An order"', f'title = "An order"\n{line}')


def with_target(line: str) -> str:
    return changed('domains = ["example.org"]', line)


def with_response(lines: str) -> str:
    return good("a") + "\n[response]\n" + lines


def test_a_whole_order() -> None:
    reading = read(
        """
id = "a"
title = " The order "
jurisdiction = ["it", "eu", "AS3269", "IT"]
except = ["US-CA"]
status = "shadow"
legal_basis = "A law"
timezone = "Europe/Rome"
on_unknown = "block"
on_stale = "allow"
supersedes = ["b-1"]
sources = ["s"]
unverified = ["u"]
[authority]
name = "Court"
kind = "police"
place = "it"
reference = "1"
url = "https://court.example/1"
[dates]
issued = 2022-07-11
effective = 2022-07-11
deadline = 2022-07-12T12:00:00+02:00
expires = 2030-01-01
review = 2029-01-01T00:00:00Z
[targets]
domains = ["Example.ORG", "b\\u00fccher.de", "example.org."]
exact = ["www.example.com"]
below = ["example.net"]
networks = ["203.0.113.0/24", "2001:db8::1", "203.0.113.0/24"]
exempt = ["free.example.org"]
files = ["a.txt"]
[response]
action = "sinkhole"
addresses = ["192.0.2.1", "2001:DB8::1"]
ttl = 86400
[disclosure]
text = "T"
contact = ["mailto:a@b.example", "tel:+390000"]
url = "http://b.example"
incident = { db = "lumen", id = "1" }
language = "DE-at"
translations = { PT-br = { text = "X" } }
"""
    )
    assert reading.faults == []
    order = reading.order
    assert order is not None
    assert order.jurisdiction == ("IT", "EU", "AS3269")
    assert order.except_ == ("US-CA",)
    assert order.domains == (parse("example.org"), parse("bücher.de"), parse("one.example"))
    assert order.exact == (parse("www.example.com"),)
    assert order.below == (parse("example.net"),)
    assert order.exempt == (parse("free.example.org"),)
    assert [str(network) for network in order.networks] == ["203.0.113.0/24", "2001:db8::1/128"]
    assert order.effective.isoformat() == "2022-07-11T00:00:00+02:00"
    assert order.expires is not None
    assert order.expires.isoformat() == "2030-01-01T00:00:00+01:00"
    assert order.review == datetime(2029, 1, 1, tzinfo=UTC)
    assert order.deadline == datetime(2022, 7, 12, 10, tzinfo=UTC)
    assert order.order.title == "The order"
    assert order.order.response.addresses == ("192.0.2.1", "2001:db8::1")
    assert order.order.disclosure.incident is not None
    assert order.order.disclosure.language == "de-AT"
    assert {tag: told.text for tag, told in order.order.disclosure.translations.items()} == {
        "pt-BR": "X"
    }
    assert [repeat.name for repeat in reading.repeats] == [parse("example.org")]
    assert not order.last_good


def test_what_is_left_out_has_its_default() -> None:
    order = read(good("a"), place="FR+overseas").order
    assert order is not None
    assert order.jurisdiction == ("FR+overseas",)
    assert order.place == "FR+overseas"
    assert order.effective == datetime(2024, 1, 1, tzinfo=UTC)
    assert order.expires is None
    assert (order.order.response.action, order.order.response.ttl) == ("nxdomain", 60)
    assert (order.order.on_unknown, order.order.on_stale) == ("allow", "keep")


def test_global_needs_and_keeps_its_reason() -> None:
    text = with_key('jurisdiction = "global"\nglobal_reason = "The court says so"')
    order = read(text).order
    assert order is not None
    assert order.jurisdiction is None
    assert order.order.global_reason == "The court says so"


def test_byte_order_mark_and_crlf_are_tolerated() -> None:
    assert read(b"\xef\xbb\xbf" + good("a").replace("\n", "\r\n").encode()).order is not None


DANISH = "disclosure.translations.da"
IN_DANISH = f'\n[{DANISH}]\ntext = "Fordi."'
IN_GERMAN = good("a") + 'language = "de"' + IN_DANISH
# line: of the good order: id 1, title 2, status 3, sources 4, [authority] 6, name 7, kind 8,
# reference 9, [dates] 11, effective 12, review 13, [targets] 15, domains 16, text 19.
FAULTS = [
    ("empty file", "", None, "id", "is required"),
    ("not TOML", changed("title =", "title ="[:-1]), 2, None, "no TOML"),
    ("cut", GOOD[: GOOD.index("[authority]") + 5], 6, None, "no TOML"),
    ("duplicate key", with_key('title = "x"'), 3, None, "no TOML"),
    ("deep", with_key("x = " + "[" * 5000), None, None, "nested"),
    ("not UTF-8", good("a").replace("A court", "\xe9").encode("latin-1"), 7, None, "0xe9"),
    ("long number", with_key("x = " + "9" * 5000), None, None, "no TOML"),
    ("no slug", changed('id = "a"', 'id = "a/../b"'), 1, "id", "no id"),
    ("upper case", changed('id = "a"', 'id = "A"'), 1, "id", "no id"),
    ("long id", changed('id = "a"', f'id = "{"a" * 101}"'), 1, "id", "100 characters"),
    ("other id", changed('id = "a"', 'id = "b"'), 1, "id", "'b' is not the file's name, 'a'"),
    ("unknown key", with_key('titel = "x"'), 3, "titel", "did you mean title?"),
    ("python name", with_key('except_ = ["SM"]'), 3, "except_", "did you mean except?"),
    ("key in table", changed("review", "revue"), 13, "dates.revue", "did you mean review?"),
    ("unknown table", good("a") + "[extra]\nx = 1\n", 20, "extra", "no key of an order file"),
    ("no title", changed('title = "An order"\n', ""), None, "title", "is required"),
    ("empty title", changed("An order", " "), 2, "title", "empty"),
    ("two lines", changed("An order", "An\\norder"), 2, "title", "line break"),
    ("number", changed('"An order"', "5"), 2, "title", "text in quotes, not 5"),
    ("status", changed('"active"', '"on"'), 3, "status", "'on' must be one of 'draft'"),
    ("sources", changed('["a source"]', '"a source"'), 4, "sources", "must be a list"),
    ("source", changed('["a source"]', '["a", 1]'), 4, "sources.1", "text in quotes"),
    ("kind", changed('"court"', '"jury"'), 8, "authority.kind", "'jury' must be one of"),
    ("no name", changed('name = "A court"\n', ""), 6, "authority.name", "is required"),
    ("other place", changed("reference", 'place = "FR"\nreference'), 9, "authority.place", "'IT'"),
    ("no place", changed("reference", 'place = "UK"\nreference'), 9, "authority.place", "GB"),
    ("link", changed("reference", 'url = "x.y"\nreference'), 9, "authority.url", "https://"),
    ("text date", changed("2024-01-01", '"2024-01-01"'), 12, "dates.effective", "without quotes"),
    ("no offset", changed("2024-01-01", "2024-01-01T10:00:00"), 12, "dates.effective", "offset"),
    ("time", changed("2024-01-01", "10:00:00"), 12, "dates.effective", "no date"),
    ("early", changed("2024-01-01", "1024-01-01"), 12, "dates.effective", "between 1900"),
    ("late", changed("2024-01-01", "9999-12-31T23:00:00-05:00"), 12, "dates.effective", "9998"),
    ("no effective", changed("effective = 2024-01-01\n", ""), 11, "dates.effective", "required"),
    ("ends first", changed("review = 2030", "expires = 2024"), 13, "dates.expires", "not after"),
    ("no table", with_key("dates = 1").replace("[dates]\neffective = 2024-01-01\n", "")
     .replace("review = 2030-01-01", ""), 3, "dates", "must be a table, not 1"),
    ("zone", with_key('timezone = "Rome"'), 3, "timezone", "'Rome' is no IANA time zone"),
    ("zone path", with_key('timezone = "../etc"'), 3, "timezone", "no IANA time zone"),
    ("zone folder", with_key('timezone = "Europe"'), 3, "timezone", "no IANA time zone"),
    ("empty zone", with_key('timezone = ""'), 3, "timezone", "no IANA time zone"),
    ("text place", with_key('jurisdiction = "FR"'), 3, "jurisdiction", '["FR"]'),
    ("no places", with_key("jurisdiction = []"), 3, "jurisdiction", "empty"),
    ("place number", with_key("jurisdiction = 1"), 3, "jurisdiction", "must be a list"),
    ("bad place", with_key('jurisdiction = [\n"IT",\n"UK"]'), 5, "jurisdiction.1", "GB"),
    ("place type", with_key("jurisdiction = [1]"), 3, "jurisdiction.0", "text in quotes"),
    ("global list", with_key('jurisdiction = ["global"]'), 3, "jurisdiction", "stands alone"),
    ("no reason", with_key('jurisdiction = "global"'), None, "global_reason", "is required"),
    ("idle reason", with_key('global_reason = "x"'), 3, "global_reason", "goes only with"),
    ("except", with_key('except = ["San Marino"]'), 3, "except.0", "SM"),
    ("unknown", with_key('on_unknown = "deny"'), 3, "on_unknown", "'allow' or 'block'"),
    ("itself", with_key('supersedes = ["b", "a"]'), 3, "supersedes.1", "itself"),
    ("superseded", with_key('supersedes = ["B 1"]'), 3, "supersedes.0", "no id"),
    ("no target", with_target("domains = []"), 15, "targets", "names nothing"),
    ("only exempt", with_target('exempt = ["a.org"]'), 15, "targets", "names nothing"),
    ("empty list", with_target('files = ["nul.txt"]'), 15, "targets", "names nothing"),
    ("target text", with_target('domains = "a.org"'), 16, "targets.domains", "must be a list"),
    ("target type", with_target("domains = [1]"), 16, "targets.domains.0", "text in quotes"),
    ("URL", with_target('domains = [\n"a.org",\n"http://b.org/"]'), 18, "targets.domains.1",
     "'http://b.org/' is a URL"),
    ("address", with_target('exact = ["192.0.2.1"]'), 16, "targets.exact.0", "targets.networks"),
    ("wildcard", with_target('below = ["*.a.org"]'), 16, "targets.below.0", "wildcard"),
    ("exempted", with_target('domains = ["a.org"]\nexempt = ["b c"]'), 17, "targets.exempt.0",
     "white space"),
    ("host bits", with_target('networks = ["192.0.2.1/24"]'), 16, "targets.networks.0",
     "did you mean 192.0.2.0/24?"),
    ("no network", with_target('networks = ["a.org"]'), 16, "targets.networks.0", "'a.org'"),
    ("netmask", with_target('networks = ["192.0.2.0/255.255.255.0"]'), 16, "targets.networks.0",
     "no IP address"),
    ("scope id", with_target('networks = ["fe80::1%eth0"]'), 16, "targets.networks.0", "no IP"),
    ("everything", with_target('networks = ["::/0"]'), 16, "targets.networks.0", "whole"),
    ("mapped", with_target('networks = ["::ffff:192.0.2.0/120"]'), 16, "targets.networks.0",
     "write 192.0.2.0/24"),
    ("no file", with_target('files = ["gone.txt"]'), 16, "targets.files.0", "does not exist"),
    ("unreadable", with_target('files = ["secret.txt"]'), 16, "targets.files.0", "denied"),
    ("escape", with_target('files = ["../FR/x.txt"]'), 16, "targets.files.0", "order's folder"),
    ("absolute", with_target('files = ["/etc/hosts"]'), 16, "targets.files.0", "order's folder"),
    ("no path", with_target('files = [""]'), 16, "targets.files.0", "order's folder"),
    ("twice", with_target('files = ["a.txt", "a.txt"]'), 16, "targets.files.1", "twice"),
    ("action", with_response('action = "drop"'), 22, "response.action", "must be one of"),
    ("no sink", with_response('action = "sinkhole"'), 21, "response.addresses", "is required"),
    ("idle sink", with_response('addresses = ["192.0.2.1"]'), 22, "response.addresses", "only"),
    ("sink", with_response('action = "sinkhole"\naddresses = ["a"]'), 23, "response.addresses.0",
     "no IPv4 or IPv6"),
    ("ttl 0", with_response("ttl = 0"), 22, "response.ttl", "at least 1"),
    ("ttl big", with_response("ttl = 86401"), 22, "response.ttl", "at most 86400"),
    ("ttl text", with_response('ttl = "60"'), 22, "response.ttl", "whole number"),
    ("ttl truth", with_response("ttl = true"), 22, "response.ttl", "whole number"),
    ("contact", good("a") + 'contact = ["a@b.org"]', 20, "disclosure.contact.0", "mailto:"),
    ("tag", good("a") + 'language = "ger man"', 20, "disclosure.language", "such as de, pt-BR"),
    ("lonely", good("a") + IN_DANISH, None, "disclosure.language", "required with translations"),
    ("same", good("a") + 'language = "DA"' + IN_DANISH, 21, DANISH, "'da' is given twice"),
    ("empty", IN_GERMAN.replace("text", "#"), 21, f"{DANISH}.text", "required"),
    ("odd", IN_GERMAN + "\nj = 1", 23, f"{DANISH}.j", "known here: text"),
    ("incident", good("a") + 'incident = { db = "x" }', 20, "disclosure.incident.id", "required"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "line", "field", "words"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS]
)
def test_each_fault_has_its_file_line_field_and_words(
    text: str | bytes, line: int | None, field: str | None, words: str
) -> None:
    reading = read(text.format(id="a", name="a.org") if text == GOOD else text)
    assert reading.order is None
    found = [fault for fault in reading.faults if words in fault.message and fault.field == field]
    assert found, [str(fault) for fault in reading.faults]
    assert found[0].file == "orders/IT/a.toml"
    if line is not None:
        assert found[0].line == line


def test_all_faults_are_told_at_once() -> None:
    text = (
        changed('id = "a"', 'id = "B"\ntypo = 1\njurisdiction = "global"')
        .replace("2024-01-01", "2031-01-01\nexpires = 2030-01-01")
        .replace('["example.org"]', '["http://x/", "ok.org", "*.y"]\nnetworks = ["1.2.3.4/8"]')
    ) + "\n[response]\nttl = 0\naddresses = ['1.1.1.1']"
    fields = {fault.field for fault in read(text).faults}
    assert fields == {
        "id", "typo", "global_reason", "dates.expires", "targets.domains.0", "targets.domains.2",
        "targets.networks.0", "response.ttl", "response.addresses",
    }  # fmt: skip


def test_bad_entries_of_a_list_are_told_by_its_line() -> None:
    reading = read(with_target('files = ["bad.txt"]'))
    told = [(fault.file, fault.line) for fault in reading.faults]
    assert told == [("orders/IT/bad.txt", line) for line in (2, 3, 6)]
    assert "'http://bad.example/x'" in reading.faults[0].message


def test_a_list_that_is_not_utf8_is_told_by_its_line() -> None:
    fault = only(read(with_target('files = ["latin.txt"]')))
    assert (fault.file, fault.line) == ("orders/IT/latin.txt", 2)
    assert "0xfc" in fault.message


@pytest.mark.parametrize(
    ("zone", "day", "utc"),
    [
        # Midnight is skipped: the day starts when clocks go from 24:00 to 01:00.
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00:00"),
        # Midnight is there twice: the day starts with the first.
        ("America/Havana", "2022-11-06", "2022-11-06T04:00:00"),
        ("Europe/Rome", "2024-07-01", "2024-06-30T22:00:00"),
        ("Pacific/Kiritimati", "2024-07-01", "2024-06-30T10:00:00"),
    ],
)
def test_a_date_is_the_first_instant_of_the_day_there(zone: str, day: str, utc: str) -> None:
    text = with_key(f'timezone = "{zone}"').replace("2024-01-01", day)
    order = read(text).order
    assert order is not None
    assert order.effective == datetime.fromisoformat(utc).replace(tzinfo=UTC)
    before = order.effective - timedelta(seconds=1)
    assert (
        before.astimezone(ZoneInfo(zone)).date() < order.effective.astimezone(ZoneInfo(zone)).date()
    )


def test_instants_compare_exactly_across_a_change_of_clocks() -> None:
    text = with_key('timezone = "Europe/Rome"').replace(
        "2024-01-01", "2024-10-27T02:30:00+02:00\nexpires = 2024-10-27T02:15:00+01:00"
    )
    order = read(text).order
    assert order is not None
    assert order.expires is not None
    assert order.expires - order.effective == timedelta(minutes=45)


def test_the_edition_is_of_all_bytes() -> None:
    assert edition_of(b"x", {"a": b"1"}) != edition_of(b"x", {"a": b"2"})
    assert edition_of(b"x", {"a": b"1"}) != edition_of(b"x", {"b": b"1"})
    assert edition_of(b"x", {}) != edition_of(b"y", {})
    order = read(with_target('files = ["a.txt"]')).order
    assert order is not None
    data = with_target('files = ["a.txt"]').encode()
    assert order.edition == edition_of(data, {"a.txt": LISTS["a.txt"]})


VALUES = [
    "1", "-1.5", "true", '""', '"\\u0000"', "[]", "[[]]", "[{}]", "{}", "{ a = [1] }", "inf",
    "2024-01-01", "2024-01-01T00:00:00", "07:32:00", '["x", 1]', '"""\n"""',
]  # fmt: skip


@given(st.binary(max_size=300))
def test_any_octets_are_an_order_or_faults(data: bytes) -> None:
    assert read(data).faults


@given(st.data())
def test_any_value_anywhere_is_an_order_or_faults(data: st.DataObject) -> None:
    lines = good("a").splitlines()
    index = data.draw(st.sampled_from([at for at, line in enumerate(lines) if " = " in line]))
    value = data.draw(st.sampled_from(VALUES))
    lines[index] = f"{lines[index].partition(' = ')[0]} = {value}"
    reading = read("\n".join(lines))
    assert (reading.order is None) == bool(reading.faults)
    for fault in reading.faults:
        assert fault.file == "orders/IT/a.toml"
        assert fault.line is None or 1 <= fault.line <= len(lines)
