"""Lists as authorities publish them: what is taken, and why the rest is not.

They lie beside the checkout and not in it; where they are not there, these tests are skipped.
"""

from __future__ import annotations

import gzip
import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from geodns.model.name import to_text
from geodns.orders.feeds.row import FeedFault
from geodns.orders.feeds.take import Taken, take

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
TODAY = date(2026, 11, 28)

LISTS: dict[str, tuple[str, int, int, dict[str, int]]] = {
    "au-teqsa-2026-05-19.txt": ("plain", 612, 611, {"path": 1}),
    "cz-mfcr-gambling-2026-08-18.original.csv": (
        *("cz-mfcr", 3483, 3387),
        {"deleted": 58, "wrong type": 19, "duplicate": 12, "path": 7},
    ),
    "cz-mfcr-gambling-2026-08-18.rpz": ("rpz", 6780, 3383, {"path": 14}),
    "cz-others-2026-08-18.original.csv": ("csv-url", 3, 3, {}),
    "cz-szpi-food-2026-08-18.original.csv": ("csv-url", 8, 7, {"deleted": 1}),
    "de-cuii-2024-08-29.json": ("de-cuii", 275, 275, {}),
    "de-cuii-court-orders-2025-11-16.txt": ("plain", 43, 42, {"duplicate": 1}),
    "ee-mta-gambling-2025-09-03.abp.txt": ("adblock", 1893, 1893, {}),
    "ee-mta-gambling-2025-09-03.txt": ("plain", 1893, 1893, {}),
    "ee-mta-gambling-2025-09-03.ublacklist.txt": ("ublacklist", 1879, 1879, {}),
    "es-laliga-collateral-ips-2026-08-22.txt": ("ip-list", 1490, 1490, {}),
    "in-india-music-industry-104-sites.txt": ("plain", 104, 101, {"path": 3}),
    "in-madras-court-order-kabali-forum-sites.txt": ("plain", 21, 21, {}),
    "in-madras-court-order-kabali-streaming-sites.txt": ("plain", 152, 152, {}),
    "in-madras-court-order-kabali-torrent-sites.txt": ("plain", 52, 52, {}),
    "it-agcom-2023-09-25.hosts": ("hosts", 3538, 3507, {"duplicate": 31}),
    "it-consob-2023-09-25.hosts": ("hosts", 937, 936, {"public suffix": 1}),
    "pl-be-gambling-2024-08-02.txt.gz": ("plain", 46674, 46674, {}),
    "ru-registry-2020-02-04.tax-and-moscow-court.csv.gz": (
        *("ru-register", 8120, 654),
        {"path": 7465, "duplicate": 1},
    ),
    "tr-usom-2022-11-27.ips.txt.gz": ("ip-list", 6588, 6299, {"duplicate": 289}),
    "tr-usom-2022-11-27.urls.txt.gz": (
        *("plain", 170173, 163957),
        {"path": 6195, "duplicate": 11, "public suffix": 7, "not a name": 3},
    ),
    "xx-community-torrent-sites-2025-04-21.hosts": ("hosts", 3847, 3847, {}),
}


def octets(path: Path) -> bytes:
    if not path.exists():
        pytest.skip(f"{path.name} is not beside the checkout")
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix == ".gz" else data


@pytest.mark.parametrize("name", LISTS)
def test_a_real_list_is_read_by_its_content_and_every_row_is_accounted_for(name: str) -> None:
    form, rows, count, reasons = LISTS[name]
    taken = take(octets(DATA / "lists" / name), TODAY)
    assert (taken.format, taken.rows, taken.count) == (form, rows, count)
    assert dict(taken.reasons()) == reasons
    # What is listed alone and as what is below it are two rows, and one target.
    merged = 2 * len(taken.domains) if form == "rpz" else len(taken.domains)
    named = merged + len(taken.exact) + len(taken.below) + len(taken.networks)
    assert named + len(taken.rejected) == taken.rows


@pytest.mark.parametrize(
    "name", ["es-laliga-status-2026-08-22.json", "es-laliga-block-timeline-part1.csv"]
)
def test_what_is_no_list_is_not_taken_for_one(name: str) -> None:
    with pytest.raises(FeedFault, match="its format is not one of"):
        take(octets(DATA / "lists" / name), TODAY)


# Ukraine: orders that lift others


def still_ordered(document: dict[str, Any]) -> set[str]:
    """What is ordered in the end, worked out line by line and without the importer."""
    orders = document.get("orders") or document.get("decisions") or []
    if "orders" in document:
        orders = sorted(orders, key=lambda order: int(order["number"].split("/")[-1]))
    standing: set[str] = set()
    for order in orders:
        lines = [line for each in order.get("attachments", []) for line in each["lines"]]
        for line in [*lines, *order.get("sites", [])]:
            entry = re.sub(r"^https?://", "", line.strip("\ufeff \t").lower()).rstrip("/.")
            if order["action"] in ("block", "block_ip", "sanctions"):
                standing.add(entry)
            elif order["action"] == "unblock":
                standing.discard(entry)
    return {entry for entry in standing if entry and not entry.startswith("#")}


def targets(taken: Taken) -> set[str]:
    names = {to_text(name) for name in (*taken.domains, *taken.exact)}
    return names | {str(network.network_address) for network in taken.networks}


def in_ascii(entry: str) -> str:
    try:
        return entry if entry.isascii() else entry.encode("idna").decode()
    except UnicodeError:
        return entry


def check(data: bytes) -> Taken:
    taken = take(data, TODAY)
    kept, ordered = targets(taken), still_ordered(json.loads(data))
    plain = {entry for entry in ordered if re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)+", entry)}
    assert plain <= kept, "what is still ordered is a target"
    assert kept <= set(map(in_ascii, ordered)), "and nothing else is"
    return taken


SMALL = json.dumps(
    {
        "authority": {"NCU": "x"},
        "orders": [
            {"number": "9/3", "action": "unblock", "date": "2025-03-01", "attachments": [
                {"lines": ["https://Two.example/", "www.three.example", "\ufefffour.example"]}]},
            {"number": "1/1", "action": "block", "attachments": [
                {"lines": ["one.example", "two.example", "three.example", "four.example."]},
                {"lines": ["five.example", "бук.example", ""]}]},
            {"number": "2/2", "action": "block_ip", "attachments": [{"lines": ["192.0.2.1"]}]},
            {"number": "3/10", "action": "block", "date": "2025-04-01", "attachments": [
                {"lines": ["four.example"]}]},
            {"number": "4/11", "action": "unblock", "date": "2025-05-01", "attachments": [
                {"lines": ["http://five.example", "192.0.2.1"]}]},
        ],
    }
)  # fmt: skip


def test_orders_that_lift_leave_exactly_what_is_still_ordered() -> None:
    taken = check(SMALL.encode())
    assert targets(taken) == {
        *("one.example", "three.example", "four.example"),
        "xn--90as0a.example",
    }
    assert taken.reasons() == {"deleted": 3, "wrong type": 1}
    (stray,) = taken.samples("wrong type")
    assert stray.text == "www.three.example", "lifting it lifts neither more nor less"


@pytest.mark.parametrize(
    ("name", "count", "lifted"),
    [
        ("ua-ncu-orders-1734-3300.json.gz", 37633, 11),
        ("ua-playcity-2025-06-to-2026-02.json.gz", 3174, 0),
    ],
)
def test_the_orders_of_ukraine_leave_exactly_what_is_still_ordered(
    name: str, count: int, lifted: int
) -> None:
    taken = check(octets(DATA / "orders" / name))
    assert taken.count == count
    assert taken.reasons()["deleted"] == lifted
