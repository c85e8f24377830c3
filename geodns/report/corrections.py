"""What a report says of mistakes: those found, those corrected, and the server's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from geodns.report.sections import STATUS, Section, away, counted, day, moment, number, plain, table

Document = Mapping[str, Any]


def overblocking(document: Document) -> Section:
    """What was found, and what was corrected."""
    guard, ended = document["guard"], document["summary"]["ended"]
    found, let, bad = guard["found"], guard["acknowledged"], guard["refused"]
    lines = [
        f"The guard kept {counted(sum(each['count'] for each in found), 'target')} of"
        f" {counted(len(found), 'order')} out of force that looked wrong;"
        f" {counted(guard['held'], 'target is', 'targets are')} held at the end. People let"
        f" {counted(len(let), 'target')} into force, with a reason.",
        f"{counted(sum(ended.values()), 'time')} an order went out of force"
        + (": " + ", ".join(f"{n} {STATUS[why]}" for why, n in ended.items()) if ended else "")
        + ".",
        f"{counted(len(bad), 'time')} an order file was refused as faulty; what was in force"
        " stayed.",
    ]
    return Section(
        "overblocking",
        "Over-blocking found and corrected",
        tuple(lines),
        (
            *table(
                "Targets held by the guard",
                ("Order", "Found", "Held at the end", "Why", "Targets"),
                [
                    (
                        each["order"],
                        number(each["count"]),
                        number(each["held_still"]),
                        ", ".join(map(plain, each["findings"])),
                        ", ".join(map(plain, each["targets"]))
                        + (", …" if each["count"] > len(each["targets"]) else ""),
                    )
                    for each in found
                ],
                (1, 2),
            ),
            *table(
                "Held targets that people let into force",
                ("When", "Order", "Target", "Finding", "Reason"),
                [
                    (
                        day(each["at"]),
                        each["order"],
                        plain(each["target"] or "the order as a whole"),
                        plain(each["finding"]),
                        plain(each["reason"]),
                    )
                    for each in let
                ],
            ),
            *table(
                "Order files refused",
                ("When", "File", "Faults"),
                [
                    (moment(each["at"]), plain(each["file"] or "none"), number(each["faults"]))
                    for each in bad
                ],
                (2,),
            ),
        ),
    )


def lists(document: Document) -> Section:
    """Official lists."""
    found = document["lists"]
    lines = ("Rejected rows are those of the last edition; none is widened, none dropped unseen.",)
    columns = ("Order", "Source", "Editions", "Targets", "Added", "Gone", "Rejected rows")
    return Section(
        "lists",
        "Official lists",
        lines if found else ("No official list had a new edition.",),
        tuple(
            table(
                "Official lists with new editions",
                columns,
                [
                    (
                        each["order"],
                        plain(each["source"]),
                        *(number(each[key]) for key in ("editions", "taken", "added", "gone")),
                        ", ".join(
                            f"{number(n)} {plain(why)}" for why, n in each["rejected"].items()
                        )
                        or "none",
                    )
                    for each in found
                ],
                (2, 3, 4, 5),
            )
        ),
    )


def interruptions(document: Document) -> Section:
    """When the server did not run, and what was not recorded."""
    found, gaps = document["interruptions"], document["gaps"]
    lines = [] if found else ["The server ran all the time, as far as the ledger knows."]
    if gaps:
        lost = sum(each["entries"] for each in gaps)
        lines.append(f"{counted(lost, 'entry', 'entries')} of the ledger could not be written.")
    else:
        lines.append("No entry of the ledger was lost.")
    return Section(
        "interruptions",
        "Interruptions and gaps",
        tuple(lines),
        (
            *table(
                "Interruptions",
                ("From", "Until", "The server", "Because"),
                [
                    (moment(e["from"]), moment(e["until"]) or "now", away(e), e["why"])
                    for e in found
                ],
            ),
            *table(
                "Entries lost",
                ("Recorded", "Entries"),
                [(moment(each["at"]), number(each["entries"])) for each in gaps],
                (1,),
            ),
        ),
    )
