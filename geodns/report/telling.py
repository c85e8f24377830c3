"""What a report says of orders: which there are, where, and how soon they had force."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from geodns.report.sections import (
    MOST_PERIODS,
    STATUS,
    Section,
    counted,
    jurisdiction,
    moment,
    number,
    place_name,
    plain,
    seconds,
    span,
    table,
)

Document = Mapping[str, Any]
SORTS = {
    "domains": "domains, each with all below it",
    "exact": "exact names",
    "below": "what is below a name",
    "networks": "IP networks",
}
"""What sorts of targets are called in a table of their own."""
SORT = {
    "domains": ("domain", "domains"),
    "exact": ("exact name", "exact names"),
    "below": ("name for what is below", "names for what is below"),
    "networks": ("network", "networks"),
}
"""What one and several of them are called."""


def summary(document: Document) -> Section:
    """Orders by status, authority and kind of authority."""
    told, made = document["summary"], document["authorities"]
    rows = [
        ("were in force at any time in it", told["in_force_during"]),
        ("came into force for the first time", told["new"]),
        ("came into force again", told["returned"]),
        *((f"went out of force: {STATUS[why]}", count) for why, count in told["ended"].items()),
    ]
    status = told["status"]
    states = [(text, number(status[key])) for key, text in STATUS.items() if status.get(key)]
    if told["earlier"]:
        states.append(("had ended before the period, and are not listed", number(told["earlier"])))
    kinds: Counter[str] = Counter()
    force: Counter[str] = Counter()
    for row in made:
        kinds[row["kind"]] += row["orders"]
        force[row["kind"]] += row["in_force"]
    targets = [(text, told["targets"][sort]) for sort, text in SORTS.items()]
    return Section(
        "summary",
        "Summary",
        (),
        (
            *table("Orders by status at the end", ("Status", "Orders"), states, (1,)),
            *table(
                "Orders in the period",
                ("Orders that", "Number"),
                [(a, number(b)) for a, b in rows],
                (1,),
            ),
            *table(
                "Orders by authority",
                ("Authority", "Kind", "Place", "Orders", "In force", "New", "Targets in force"),
                [
                    (
                        plain(row["authority"]),
                        plain(row["kind"]),
                        plain(row["place"]),
                        *(number(row[key]) for key in ("orders", "in_force", "new", "targets")),
                    )
                    for row in made
                ],
                (3, 4, 5, 6),
            ),
            *table(
                "Orders by kind of authority",
                ("Kind", "Orders", "In force"),
                [
                    (plain(kind) or "not recorded", number(n), number(force[kind]))
                    for kind, n in kinds.most_common()
                ],
                (1, 2),
            ),
            *table(
                "Targets of orders in force at the end",
                ("Sort", "Number"),
                [
                    *((text, number(count)) for text, count in targets if count),
                    ("of these held by the guard, out of force", number(told["held"])),
                ]
                if any(count for _, count in targets)
                else [],
                (1,),
            ),
        ),
    )


def orders(document: Document) -> Section:
    """All orders one by one."""
    rows: list[tuple[str, ...]] = []
    for each in document["orders"]:
        spans = [
            span(one) + ("" if one["effect"] == "force" else f" ({one['effect']})")
            for one in each["periods"]
        ]
        earlier = len(spans) - MOST_PERIODS
        spans = spans[-MOST_PERIODS:] + ([f"and {earlier} before"] if earlier > 0 else [])
        about = plain(each["authority"] or "not recorded")
        about += f" ({plain(each['kind'])})" if each["kind"] else ""
        targets = [counted(n, *SORT[sort]) for sort, n in each["targets"].items() if n]
        targets += [f"{number(each['held'])} of them held"] if each["held"] else []
        marks = [STATUS.get(each["status"], each["status"])]
        marks += [f"its file says {plain(each['filed'])}"] if _apart(each) else []
        marks += ["new"] if each["new"] else ["again"] if each["returned"] else []
        rows.append(
            (
                "\n".join(filter(None, (each["order"], plain(each["title"] or "")))),
                "\n".join(filter(None, (about, plain(each["reference"] or "")))),
                jurisdiction(each["jurisdiction"], each["except"]),
                "\n".join(marks),
                "\n".join(spans) or "never",
                "\n".join(targets) or "none",
                moment(each["verified"]) or "no",
            )
        )
    columns = (
        *("Order", "Authority and reference", "Where", "Status at the end"),
        *("In force", "Targets", "Verified"),
    )
    told = (
        "In force means: on all workers, between the two instants. Verified means that the server"
        " was asked over the wire by itself, and blocked inside the place and not outside."
    )
    lines = (told if rows else "The ledger knows no orders of this time.",)
    return Section("orders", "All orders", lines, tuple(table("All orders", columns, rows)))


def _apart(each: Mapping[str, Any]) -> bool:
    """Whether what the file says is news: it is out of force, and nothing else says why."""
    return each["status"] == "never" and each["filed"] is not None


def where(document: Document) -> Section:
    """Places, and the map."""
    found = document["where"]
    world, atlas = found["everywhere"], found["map"]
    lines = []
    if world["orders"]:
        spared = f", except in {', '.join(world['except'])}" if world["except"] else ""
        lines.append(
            f"{counted(world['orders'], 'order')} with {counted(world['targets'], 'target')}"
            f" {'has' if world['orders'] == 1 else 'have'} force everywhere{spared}: on the map"
            " they are in every country, in the table in none."
        )
    if found["places"]:
        lines.append(
            "A target that several orders name is counted for each of them. Named sets, such as"
            " the EU, are taken apart."
        )
    if atlas["operators"]:
        lines.append(f"Not on the map, being in no country: {', '.join(atlas['operators'])}.")
    if not lines:
        lines.append("No order is in force.")
    rows = [
        (place_name(row["place"]), number(row["orders"]), number(row["targets"]))
        for row in found["places"]
    ]
    return Section(
        "where",
        "Where names are blocked",
        tuple(lines),
        tuple(
            table(
                "Orders in force at the end, by place", ("Place", "Orders", "Targets"), rows, (1, 2)
            )
        ),
    )


def carried_out(document: Document) -> Section:
    """From receipt to force."""
    found = document["carried_out"]
    deadlines = found["deadlines"]
    lines = []
    if found["editions"]:
        slow = found["slowest"]
        lines.append(
            f"{counted(found['editions'], 'edition')} of orders came into force. The time is from"
            " receipt, or from the instant at which the order was to have force if that was later,"
            f" until all workers had it: median {seconds(found['median'])}, at most"
            f" {seconds(slow['seconds'])} ({slow['order']}, {moment(slow['at'])})."
        )
    else:
        lines.append("No edition of an order came into force.")
    states = {
        "met": "met",
        "missed": "missed",
        "received late": "over before the order was received",
        "coming": "still to come",
    }
    rows = [
        (states[state], number(len(ids)), ", ".join(ids)) for state, ids in deadlines.items() if ids
    ]
    if not rows:
        lines.append("No deadline fell into the period.")
    return Section(
        "carried_out",
        "From receipt to force",
        tuple(lines),
        (
            *table(
                "Editions by time to force",
                ("Time", "Editions"),
                [(text, number(count)) for text, count in distribution(document)]
                if found["editions"]
                else [],
                (1,),
            ),
            *table("Deadlines", ("Deadline", "Number", "Orders"), rows, (1,)),
        ),
    )


def distribution(document: Document) -> list[tuple[str, int]]:
    """Times to force and how many editions took as long."""
    names = ("up to 1 s", "up to 10 s", "up to 1 min", "up to 30 min", "up to 1 day", "longer")
    found = document["carried_out"]["distribution"]
    return [(name, each["editions"]) for name, each in zip(names, found, strict=True)]
