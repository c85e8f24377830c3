"""The guard against over-blocking, on the real cases that it was made for."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geodns.errors import InputFaults
from geodns.model.name import NameFault, ancestors, parse, to_text
from geodns.model.namelist import NameList
from geodns.orders.feeds.take import take
from geodns.orders.guard.facts import bundled, with_popular
from geodns.orders.guard.judge import CHUNK, Known, bundled_known, judge
from geodns.orders.guard.review import review
from geodns.orders.lint import Finding, lint
from geodns.orders.load import Loaded, OrderLoader
from geodns.orders.loaded import LoadedOrder
from geodns.orders.read import read_order
from geodns.policy.compile import compile_snapshot
from geodns.policy.snapshot import Snapshot
from tests.orders.sample import good, write
from tests.policy.making import order

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def check(text: str, lists: bytes = b"", known: Known | None = None) -> tuple[Finding, ...]:
    return reviewed(text, lists, known)[1]


def reviewed(
    text: str, lists: bytes = b"", known: Known | None = None
) -> tuple[LoadedOrder, tuple[Finding, ...]]:
    reading = read_order("IT/a.toml", "IT", text.encode(), lambda name: lists)
    assert reading.order is not None, [str(fault) for fault in reading.faults]
    found = lint(reading.order, reading.repeats)
    return review(reading.order, known or bundled_known(), found, text.encode(), reading.lists)


def targeting(*targets: str, more: str = "") -> str:
    networks = [target for target in targets if target[0].isdigit() and "." in target]
    networks = [target for target in networks if target.replace(".", "").replace("/", "").isdigit()]
    names = [target for target in targets if target not in networks]
    lines = f"domains = {names}\nnetworks = {networks}".replace("'", '"')
    return good("a").replace('domains = ["example.org"]', lines).replace("[disc", f"{more}\n[disc")


def acknowledge(target: str | None, finding: str) -> str:
    named = "" if target is None else f'target = "{target}"\n'
    return (
        f'[[acknowledge]]\n{named}finding = "{finding}"\nby = "A. Person"\n'
        'reason = "sanctions"\ndate = 2026-01-02\n'
    )


# Case, targets, and the finding that each must hold it.
CASES = {
    "it-cloudflare-ip": {"188.114.97.7": "cloud-range"},
    "it-google-drive": {"drive.usercontent.google.com": "below-popular"},
    "at-cannapower": {"104.16.132.229": "cloud-range"},
    "es-laliga": {"104.21.0.1": "cloud-range", "172.67.1.2": "cloud-range", "rae.es": "popular"},
    "gb-premier-league": {"13.32.0.1": "cloud-range"},
    "be-open-library": {"openlibrary.org": "popular"},
    "tw-rpz": {
        "eu.org": "public-suffix", "polymarket.com": "popular", "instagram.com": "popular",
    },
    "tr-usom": {
        "000webhostapp.com": "platform", "dreamhosters.com": "public-suffix",
        "homelinux.com": "public-suffix", "dns-cloud.net": "public-suffix",
        "0.tcp.ap.ngrok.io": "platform", "bit.ly": "platform",
    },
    "xx-community": {
        "nasa.gov": "popular", "archive.org": "popular", "pbs.org": "popular",
        "cbc.ca": "popular", "torrent.ubuntu.com": "below-popular",
    },
    "it-consob-nonche": {"nonché": "single-label"},
    "the replay of issue 5": {
        "docs.google.com": "platform", "s3.amazonaws.com": "public-suffix",
    },
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_real_cases_are_held(case: str) -> None:
    loaded, found = reviewed(targeting(*CASES[case], "lawful-target.example"))
    assert {item.kind for item in found if item.level == "hold"} == set(CASES[case].values())
    held = {held.target: held.finding for held in loaded.held}
    assert len(held) == len(CASES[case])
    for target, finding in CASES[case].items():
        try:
            assert held[parse(target)] == finding
        except NameFault:
            assert finding in held.values()
    snapshot = Snapshot(compile_snapshot([loaded], NOW))
    assert [each.id for each in snapshot.orders] == ["a"]
    assert snapshot.name_rules(parse("www.lawful-target.example"))
    for target in held:
        if isinstance(target, bytes):
            assert not snapshot.name_rules(target)
        else:
            assert not snapshot.address_rule(target.network_address.packed)


def test_addresses_that_nothing_ends_are_told() -> None:
    """it-ovh-reuse: a blocked address was sold on to a new customer."""
    found = check(targeting("198.51.100.7").replace("review = 2030-01-01", ""))
    assert ["change hands" in item.message for item in found if item.level == "warn"] == [True]
    assert not [item for item in check(targeting("198.51.100.7")) if item.level == "warn"]


@pytest.mark.parametrize("name", ["serien.sx", "libgen.rocks"])
def test_names_that_nobody_looks_at_again_are_told(name: str) -> None:
    """de-serien-sx, de-libgen-seized: no longer infringing or seized already, and blocked."""
    found = check(targeting(name).replace("review = 2030-01-01", ""))
    assert "no-end" in [item.kind for item in found]


def test_a_page_is_no_host() -> None:
    """cz-the-nation and tr-usom: rows with a path never become a block of the host."""
    taken = take(b"thenationonlineng.net/casino/au\nbit.ly/3abc\nreal.example\n", date(2026, 8, 1))
    assert list(taken.domains) == [parse("real.example")]
    assert taken.reasons()["path"] == 2


def test_an_acknowledged_target_has_force_and_is_still_told() -> None:
    text = targeting("eu.org", "rt.com", "mail.google.com", more=acknowledge("rt.com", "popular"))
    loaded, found = reviewed(text)
    assert [held.target for held in loaded.held] == [parse("eu.org"), parse("mail.google.com")]
    (told,) = [item for item in found if item.target == "rt.com"]
    assert (told.level, told.kind) == ("info", "popular")
    assert "acknowledged by A. Person on 2026-01-02: sanctions" in told.message
    assert [item.line for item in found if item.target == "eu.org"] == [16]


def test_what_is_around_the_targets_can_be_acknowledged() -> None:
    more = acknowledge("google.com", "below-popular") + acknowledge(
        "188.114.96.0/20", "cloud-range"
    )
    loaded, found = reviewed(targeting("a.google.com", "b.google.com", "188.114.97.7", more=more))
    assert loaded.held == ()
    assert {item.level for item in found} == {"info"}


@pytest.mark.parametrize(
    ("target", "finding"), [("rt.com", "platform"), ("other.com", "popular"), (None, "no-end")]
)
def test_an_acknowledgement_of_nothing_is_a_finding(target: str | None, finding: str) -> None:
    found = check(targeting("blocked.example", more=acknowledge(target, finding)))
    (told,) = [item for item in found if item.level == "warn"]
    assert told.field == "acknowledge.0"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (acknowledge("http://x.y/z", "popular"), "URL"),
        (acknowledge(None, "popular"), "name it"),
        (acknowledge("a.org", "no-end"), "leave target out"),
        (acknowledge("a.org", "popula"), "popular"),
        (acknowledge("a.org", "popular").replace("2026-01-02", '"2026"'), "no date"),
    ],
)
def test_a_wrong_acknowledgement_is_a_fault(row: str, words: str) -> None:
    reading = read_order("IT/a.toml", "IT", targeting("a.org", more=row).encode(), lambda name: b"")
    assert any(words in str(fault) for fault in reading.faults), reading.faults
    assert all(fault.line for fault in reading.faults)


def test_customers_of_a_platform_are_not_the_platform() -> None:
    names = (
        "1.2.3.4.bc.googleusercontent.com",
        "someone.blogspot.com",
        "someone.github.io",
        "x.wordpress.com",
        "shop.myshopify.com",
    )
    loaded, found = reviewed(targeting(*names))
    assert loaded.held == ()
    assert [item for item in found if item.level != "info"] == []


def test_names_that_look_like_others() -> None:
    found = check(targeting("gооgle.com", "paypa1.com", "münchen-blocked.example"))
    looks = {item.target: item.level for item in found if item.kind == "look-alike"}
    assert looks == {"xn--ggle-55da.com": "warn", "paypa1.com": "info"}


def test_growth_and_shrinkage_between_editions(tmp_path: Path) -> None:
    text = good("a").replace('domains = ["example.org"]', 'files = ["a.txt"]')
    path = write(tmp_path, "IT", "a", text)
    loader = OrderLoader([tmp_path], None)

    def kinds(count: int) -> list[str]:
        (path.parent / "a.txt").write_text("".join(f"n{n}.example\n" for n in range(count)))
        loaded: Loaded = loader.load()
        return [item.kind for item in loaded.findings]

    assert kinds(10) == []
    assert kinds(15) == []
    assert kinds(50) == ["growth"]
    assert kinds(20) == ["shrinkage"]
    assert kinds(21) == []


def test_the_operators_list_of_popular_names(tmp_path: Path) -> None:
    path = tmp_path / "tranco.csv"
    path.write_text("1,mine.test-popular.net\n2,other.net\nnonsense\n")
    known = Known(with_popular(path))
    found = check(targeting("other.net", "google.com", "test-popular.net"), known=known)
    told = {item.target: item.message for item in found if item.level == "hold"}
    assert told.keys() == {"other.net", "test-popular.net"}
    assert "rank 2, tranco.csv, 20" in told["other.net"]
    path.write_text("nothing here\n")
    with pytest.raises(InputFaults, match="holds no names"):
        with_popular(path)
    with pytest.raises(InputFaults, match="No such file"):
        with_popular(tmp_path / "none")


def test_many_held_targets_are_counted_past_the_first() -> None:
    rows = "".join(f"h{n}.google.com\n" for n in range(100)).encode()
    text = good("a").replace('domains = ["example.org"]', 'files = ["a.txt"]')
    loaded, found = reviewed(text, rows)
    assert len(loaded.held) == 100
    holds = [item for item in found if item.level == "hold"]
    assert len(holds) == 21
    assert "80 more targets are held for below-popular" in holds[-1].message
    assert (holds[0].file, holds[0].line) == ("IT/a.txt", 1)


LABELS = st.sampled_from([
    *(b"google", b"com", b"co", b"uk", b"github", b"io", b"bit", b"ly", b"x", b"deep", b"ck"),
    *(b"xn--ggle-55da", b"paypa1", b"www", b"amazonaws", b"s3"),
])  # fmt: skip


@given(st.lists(st.lists(LABELS, min_size=1, max_size=4), min_size=1, max_size=30))
def test_names_together_are_judged_as_one_by_one(rows: list[list[bytes]]) -> None:
    names = list(
        dict.fromkeys(b"".join(bytes((len(one),)) + one for one in row) + b"\0" for row in rows)
    )
    base = order("it-a", domains=["unused"])
    together = list(judge(replace(base, domains=NameList.of(names)), bundled_known()))
    alone = [
        hit
        for name in names
        for hit in judge(replace(base, domains=NameList.of([name])), bundled_known())
    ]
    assert sorted(map(str, together)) == sorted(map(str, alone))
    facts = bundled()
    for hit in together:
        assert isinstance(hit.target, bytes)
    for name in set(names) - {hit.target for hit in together}:
        assert name not in facts.popular
        assert name not in facts.platforms
        assert facts.suffixes.section(name) is None


def test_lists_longer_than_a_part_are_judged_whole() -> None:
    rows = b"".join(b"name-%d.example\n" % n for n in range(2 * CHUNK)) + b"google.com\n"
    text = good("a").replace('domains = ["example.org"]', 'files = ["a.txt"]')
    loaded, _ = reviewed(text, rows)
    assert [held.target for held in loaded.held] == [parse("google.com")]


def test_public_suffixes_are_those_of_the_package() -> None:
    from publicsuffixlist import PublicSuffixList

    theirs = PublicSuffixList(accept_unknown=False)
    ours = bundled().suffixes
    some = [*list(ours.plain)[::17], *map(parse, ("x.ck", "www.ck", "a.kawasaki.jp", "b.com"))]
    for name in some:
        for each in ancestors(name):
            assert (ours.section(each) is not None) == theirs.is_public(to_text(each)), each


DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
COLLECTION = DATA / "overblocking-cases.json"


@pytest.mark.skipif(not COLLECTION.exists(), reason="overblocking-cases.json is not there")
def test_every_case_of_the_collection_is_caught() -> None:
    """Each target is held, rejected by the importer, or told because nothing ends it."""
    cases = json.loads(COLLECTION.read_text())["cases"]
    assert len(cases) == 14
    targets = [target.partition(" (")[0] for case in cases for target in case["targets"]]
    listed = [target for target in targets if not target.startswith("lists/")]
    caught = 0
    for target in listed:
        taken = take(f"{target}\n".encode(), date(2026, 8, 1), "agcom-annex")
        if taken.rejected:
            assert taken.rejected[0].reason in ("path", "public suffix")
        else:
            order, found = reviewed(targeting(target).replace("review = 2030-01-01", ""))
            assert order.held or "no-end" in [item.kind for item in found], target
        caught += 1
    assert caught == len(listed) == 25
    # The addresses of one case are a list of their own; nearly all are a content network's.
    addresses = (DATA / "lists" / "es-laliga-collateral-ips-2026-08-22.txt").read_text().split()
    order, _ = reviewed(targeting(*addresses))
    assert len(order.held) == 1476
