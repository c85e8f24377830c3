"""The questions of ``geodns orders new``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from geodns.model.place import country_name, kind
from geodns.orders.draft import Value

Sort = Literal["text", "lines", "names", "moment", "place", "list", "seconds"]
LIST = "list"
"""The answer that is a file of names, which becomes ``targets.files``."""
PLACE = "place"
TARGETS = (
    *("targets.domains", "targets.exact", "targets.below", "targets.networks"),
    *(LIST, "feeds"),
)
"""Answers of which one is needed."""


@dataclass(frozen=True, slots=True)
class Question:
    """One thing to be asked.

    key: dotted, as the order file has it, or PLACE or LIST. option: on the command line. ask: the
    question. why: one line for a person. sort: ``names`` are several, divided by blanks; ``lines``
    several, one a line. default: what no answer means, if there is such a thing.
    """

    key: str
    option: str
    ask: str
    why: str
    sort: Sort = "text"
    default: str | None = None
    required: bool = False
    head: str | None = None


QUESTIONS = (
    Question(
        PLACE,
        "--place",
        "Place of the authority",
        "An ISO 3166-1 code (IT) or, of a part of a country, an ISO 3166-2 code (US-CA). The"
        " order file goes into the folder of this name.",
        "place",
        required=True,
        head="Who ordered it",
    ),
    Question(
        "authority.name",
        "--authority",
        "Name of the authority",
        "In its own language, such as Tribunale di Milano.",
        required=True,
    ),
    Question(
        "authority.kind",
        "--kind",
        "Kind of authority",
        "court, regulator, police, self-regulation (a body of the industry) or operator (who"
        " runs the resolver).",
        required=True,
    ),
    Question(
        "authority.reference",
        "--reference",
        "Its own number of the order",
        "Case, decision or register number.",
    ),
    Question(
        "authority.url", "--url", "Where the order can be read", "A web address, if there is one."
    ),
    Question(
        "title",
        "--title",
        "Title",
        "What the order is, in a few words: the authority, the parties, what it is about.",
        required=True,
    ),
    Question(
        "targets.domains",
        "--domain",
        "Names, each with all below it",
        "example.org blocks www.example.org too. Several: with blanks or commas between them.",
        "names",
        head="What is blocked (one kind of target is needed)",
    ),
    Question(
        "targets.exact",
        "--exact",
        "Names, without what is below them",
        "www.example.org blocks neither example.org nor a.www.example.org.",
        "names",
    ),
    Question(
        "targets.below",
        "--below",
        "Names of which only what is below is blocked",
        "For hosting.example: all of its customers' names, and not hosting.example.",
        "names",
    ),
    Question(
        "targets.networks",
        "--network",
        "Addresses and networks",
        "203.0.113.7 or 203.0.113.0/24: any name that leads there is blocked.",
        "names",
    ),
    Question(
        LIST,
        "--list",
        "A file with names",
        "UTF-8, one name a line, each with all below it; it is copied beside the order file. Other"
        " formats: geodns orders import.",
        "list",
    ),
    Question(
        "feeds",
        "--feed",
        "Web addresses of official lists",
        "They are fetched every day, and what they list is blocked.",
        "lines",
    ),
    Question(
        "targets.exempt",
        "--exempt",
        "Names that are carved out",
        "They, and all below them, stay open under this order.",
        "names",
    ),
    Question(
        "jurisdiction",
        "--jurisdiction",
        "Where it has force",
        "Places, AS numbers (AS3269), named sets (EU), or global. Nothing is implied: IT is"
        " without SM, FR without its overseas territories (FR+overseas).",
        "names",
        required=True,
        head="Where and when",
    ),
    Question(
        "global_reason",
        "--global-reason",
        "Why it has force everywhere",
        "Such an order hits everybody: say where it says so.",
        required=True,
    ),
    Question("except", "--except", "Places that are carved out", "As above.", "names"),
    Question(
        "timezone",
        "--timezone",
        "Time zone of the dates",
        "In it a day begins; an IANA name such as Europe/Rome.",
        required=True,
    ),
    Question(
        "dates.issued",
        "--issued",
        "When it was decided",
        "A day (2026-05-31), or a day and a time (2026-05-31 14:30).",
        "moment",
    ),
    Question(
        "dates.effective",
        "--effective",
        "From when it has force",
        "The first day or instant. The server begins by itself.",
        "moment",
        required=True,
    ),
    Question(
        "dates.deadline",
        "--deadline",
        "Until when it must be carried out",
        "For the record, and for geodns orders due.",
        "moment",
    ),
    Question(
        "dates.expires",
        "--expires",
        "When it ends",
        "The first day or instant without force. The server ends it by itself.",
        "moment",
    ),
    Question(
        "dates.review",
        "--review",
        "When somebody must look at it again",
        "An order that nothing ends and nobody looks at blocks for ever.",
        "moment",
    ),
    Question(
        "legal_basis",
        "--legal-basis",
        "Legal basis",
        "The law or contract that it rests on.",
        head="What is answered and told",
    ),
    Question(
        "response.action",
        "--action",
        "What somebody gets who asks for a blocked name",
        "nxdomain (there is no such name), nodata (it has no address), refused, or sinkhole (an"
        " address of yours, where a page explains).",
        default="nxdomain",
        required=True,
    ),
    Question(
        "response.addresses",
        "--address",
        "Addresses of the sinkhole",
        "IPv4 and IPv6.",
        "names",
        required=True,
    ),
    Question(
        "disclosure.text",
        "--text",
        "What is told to a blocked person",
        "One plain sentence: by whom, when and why. It goes into the reply.",
    ),
    Question(
        "disclosure.language", "--language", "Language of that sentence", "A tag: en, it, pt-BR."
    ),
    Question(
        "disclosure.contact",
        "--contact",
        "Whom a blocked person can ask",
        "mailto:... or tel:...",
        "names",
    ),
    Question(
        "sources",
        "--source",
        "Where these facts are from",
        "The judgment, a publication, a web address.",
        "lines",
    ),
    Question(
        "status",
        "--status",
        "Status",
        "draft: only checked. shadow: ruled and counted as if it had force, and nothing is blocked:"
        " to see whom it would hit. active: blocks from its date on.",
        default="draft",
        required=True,
    ),
    Question("id", "--id", "Name of the file, without .toml", "It never changes.", required=True),
)
BY_KEY = {question.key: question for question in QUESTIONS}


def wanted(question: Question, answers: Mapping[str, Value]) -> bool:
    """Whether a question makes sense after what was answered."""
    match question.key:
        case "global_reason":
            return answers.get("jurisdiction") == "global"
        case "response.addresses":
            return answers.get("response.action") == "sinkhole"
        case "disclosure.language":
            return "disclosure.text" in answers
        case _:
            return True


def default_of(question: Question, answers: Mapping[str, Value]) -> str | None:
    """What an empty answer means, if anything."""
    if question.key == "jurisdiction":
        return str(answers[PLACE]) if PLACE in answers else None
    if question.key == "timezone":
        zones = zones_of(str(answers.get(PLACE, "")))
        return zones[0] if len(zones) == 1 else None
    if question.key == "dates.effective" and "dates.issued" in answers:
        return str(answers["dates.issued"])
    return question.default


def why(question: Question, answers: Mapping[str, Value]) -> str:
    """The line for a person below a question."""
    if question.key == "timezone":
        zones = zones_of(str(answers[PLACE]))
        if len(zones) > 1:
            more = f" and {len(zones) - 6} more" if len(zones) > 6 else ""
            return f"{question.why} {answers[PLACE]} has {', '.join(zones[:6])}{more}."
    if question.key == "jurisdiction" and kind(str(answers[PLACE])) == "country":
        place = str(answers[PLACE])
        return f"{question.why} {place} is {country_name(place)}."
    return question.why


def zones_of(place: str) -> tuple[str, ...]:
    """The time zones of a country or of the country of a subdivision; none of a named set."""
    from importlib.resources import files

    country = place.partition("-")[0]
    text = (files("tzdata") / "zoneinfo" / "zone.tab").read_text("utf-8")
    rows = (line.split("\t") for line in text.splitlines() if not line.startswith("#"))
    return tuple(sorted(row[2] for row in rows if row[0] == country))
