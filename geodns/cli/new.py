"""``geodns orders new``: questions, one by one, and a commented order file for the answers."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from geodns.cli.options import Config, Json
from geodns.errors import Fault, InputFaults

if TYPE_CHECKING:
    from geodns.cli.questions import Question
    from geodns.orders.draft import Value

_Text = str | None
_Many = list[str] | None


def _option(name: str, metavar: str, text: str) -> Any:
    return typer.Option(name, metavar=metavar, help=text, show_default=False)


def new_order(
    ident: Annotated[
        str | None,
        typer.Argument(
            metavar="ID", help="The file's name without .toml. Without it one is proposed."
        ),
    ] = None,
    place: Annotated[_Text, _option("--place", "PLACE", "The authority's place: IT.")] = None,
    authority: Annotated[_Text, _option("--authority", "NAME", "The authority's name.")] = None,
    kind: Annotated[
        _Text, _option("--kind", "KIND", "court, regulator, police, self-regulation or operator.")
    ] = None,
    reference: Annotated[
        _Text, _option("--reference", "TEXT", "The authority's number of the order.")
    ] = None,
    url: Annotated[_Text, _option("--url", "URL", "Where the order can be read.")] = None,
    title: Annotated[_Text, _option("--title", "TEXT", "What it is, in a few words.")] = None,
    domain: Annotated[
        _Many, _option("--domain", "NAME", "A name, with all below it. May be repeated.")
    ] = None,
    exact: Annotated[_Many, _option("--exact", "NAME", "That name only. May be repeated.")] = None,
    below: Annotated[
        _Many, _option("--below", "NAME", "Only what is below it. May be repeated.")
    ] = None,
    network: Annotated[
        _Many, _option("--network", "CIDR", "An address or network. May be repeated.")
    ] = None,
    names: Annotated[
        _Text, _option("--list", "FILE", "A file of names, one a line; it is copied.")
    ] = None,
    feed: Annotated[
        _Many, _option("--feed", "URL", "An official list to fetch. May be repeated.")
    ] = None,
    exempt: Annotated[
        _Many, _option("--exempt", "NAME", "A name that is carved out. May be repeated.")
    ] = None,
    jurisdiction: Annotated[
        _Many,
        _option("--jurisdiction", "PLACE", "Where it has force (default: --place). Repeatable."),
    ] = None,
    global_reason: Annotated[
        _Text, _option("--global-reason", "TEXT", "Why it has force everywhere.")
    ] = None,
    except_: Annotated[
        _Many, _option("--except", "PLACE", "A place that is carved out. May be repeated.")
    ] = None,
    timezone: Annotated[
        _Text,
        _option("--timezone", "ZONE", "Time zone of the dates (default: the place's only one)."),
    ] = None,
    issued: Annotated[_Text, _option("--issued", "DATE", "When it was decided.")] = None,
    effective: Annotated[_Text, _option("--effective", "DATE", "From when it has force.")] = None,
    deadline: Annotated[
        _Text, _option("--deadline", "DATE", "Until when it must be carried out.")
    ] = None,
    expires: Annotated[_Text, _option("--expires", "DATE", "When it ends.")] = None,
    review: Annotated[_Text, _option("--review", "DATE", "When to look at it again.")] = None,
    legal_basis: Annotated[
        _Text, _option("--legal-basis", "TEXT", "The law that it rests on.")
    ] = None,
    action: Annotated[
        _Text,
        _option("--action", "ACTION", "nxdomain (default), nodata, refused or sinkhole."),
    ] = None,
    address: Annotated[
        _Many, _option("--address", "IP", "An address of the sinkhole. May be repeated.")
    ] = None,
    text: Annotated[_Text, _option("--text", "TEXT", "What a blocked person is told.")] = None,
    language: Annotated[_Text, _option("--language", "TAG", "Language of --text: en.")] = None,
    contact: Annotated[
        _Many, _option("--contact", "URI", "mailto:... or tel:... May be repeated.")
    ] = None,
    source: Annotated[
        _Many, _option("--source", "TEXT", "Where the facts are from. May be repeated.")
    ] = None,
    status: Annotated[
        _Text, _option("--status", "STATUS", "draft (default), shadow, active, suspended, lifted.")
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Directory of orders to write to. Without it: the first of the settings.",
            show_default=False,
        ),
    ] = None,
    no_questions: Annotated[
        bool, typer.Option("--no-questions", help="Ask nothing, on a terminal either.")
    ] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Write a new order file: ask for what it needs, check each answer at once, explain each key.

    On a terminal what no option says is asked; elsewhere nothing is. No file is ever overwritten.
    A time without an offset from UTC is one in the order's time zone. The new file is
    checked as by geodns orders check.

    Exit codes: 0 written; 1 written, and the check has findings of level warn or hold; 2 bad
    input, and nothing is written, or the databases cannot tell a place of it; 130 interrupted.

    Example: geodns orders new --place IT --authority "Tribunale di Milano" --domain x.example
    """
    from geodns.cli.filing import write
    from geodns.config import load_settings
    from geodns.console import out

    given = {
        "place": place,
        "authority.name": authority,
        "authority.kind": kind,
        "authority.reference": reference,
        "authority.url": url,
        "title": title,
        "targets.domains": domain,
        "targets.exact": exact,
        "targets.below": below,
        "targets.networks": network,
        "list": names,
        "feeds": feed,
        "targets.exempt": exempt,
        "jurisdiction": jurisdiction,
        "global_reason": global_reason,
        "except": except_,
        "timezone": timezone,
        "dates.issued": issued,
        "dates.effective": effective,
        "dates.deadline": deadline,
        "dates.expires": expires,
        "dates.review": review,
        "legal_basis": legal_basis,
        "response.action": action,
        "response.addresses": address,
        "disclosure.text": text,
        "disclosure.language": language,
        "disclosure.contact": contact,
        "sources": source,
        "status": status,
        "id": ident,
    }
    root = _directory(to, load_settings(config).orders.directories)
    texts = {
        key: value if isinstance(value, str) else "\n".join(value)
        for key, value in given.items()
        if value is not None
    }
    asked = sys.stdin.isatty() and not no_questions
    answers = _answer(texts, root, ask=asked)
    if asked and answers["status"] == "active":
        out.line(f"It is active: where a server reads {root}, it blocks within a second.")
        if not typer.confirm("Write it?"):
            raise typer.Abort
    files = write(root, answers)
    shown = [out.short_path(str(path)) for path in files]
    if as_json:
        code, said = _checked(files[-1], config)
        out.document({"id": answers["id"], "path": str(files[-1]), "files": shown, "check": said})
    else:
        for name in shown:
            out.line(f"written: {name}")
        code = _check(files[-1], config)
        out.line("next:")
        out.line(f"  geodns orders check {shown[-1]}")
        out.line(f"  geodns orders impact {shown[-1]}")
        out.line(f"  git add {' '.join(shown)}")
        if answers["status"] == "draft":
            out.line('  and, when it is to have force, status = "active" in the file')
    raise typer.Exit(code)


def _directory(to: Path | None, directories: Sequence[Path]) -> Path:
    from geodns import shipped

    root = directories[0] if to is None else to
    if to is None and root == shipped.orders() and root != Path.cwd() / "orders":
        told = "there is no folder of orders here: mkdir orders, or name one with --to"
        raise InputFaults([Fault(told)])
    if not root.is_dir():
        raise InputFaults([Fault("is no folder; make it, or name another with --to", str(root))])
    return root


def _answer(texts: Mapping[str, str], root: Path, *, ask: bool) -> dict[str, Value]:
    """All answers: those of options, the rest asked or by default. Raises InputFaults."""
    from geodns.cli import questions as known
    from geodns.cli.answers import read_answer
    from geodns.cli.asking import ask_all

    answers: dict[str, Value] = {}
    faults: list[Fault] = []
    # What others are judged by, and what needs nobody, comes before the first question.
    first = ("place", "timezone", "jurisdiction", "response.action", "disclosure.text")
    order = sorted(known.QUESTIONS, key=lambda each: each.key not in first)
    for question in order:
        if question.key == "timezone" and "timezone" not in texts and not ask:
            zone = known.default_of(question, answers)
            answers |= {} if zone is None else {"timezone": zone}
        if (text := texts.get(question.key)) is not None:
            try:
                answers[question.key] = read_answer(question, text, answers)
            except ValueError as error:
                faults.append(Fault(str(error), None, None, _name(question)))
    if ask and not faults:
        ask_all(answers, root)
        return answers
    missing = [] if ask else _missing(answers, texts, root)
    if missing:
        faults.append(Fault(f"missing: {', '.join(missing)}"))
    if faults:
        raise InputFaults(faults)
    return answers


def _missing(answers: dict[str, Value], texts: Mapping[str, str], root: Path) -> list[str]:
    """Give what has a default its default; return the options that are needed besides."""
    from geodns.cli import questions as known
    from geodns.cli.answers import read_answer
    from geodns.cli.filing import default

    missing: list[str] = []
    for question in known.QUESTIONS:
        key = question.key
        if key in answers or key in texts or not known.wanted(question, answers):
            continue
        if key in ("jurisdiction", "timezone") and "place" not in answers:
            continue  # they follow from it
        usual = default(question, answers, root)
        if usual is not None:
            try:
                answers[key] = read_answer(question, usual, answers)
            except ValueError as error:
                # What is usual follows from what was given: there is the mistake.
                told = f"cannot be {usual}, its default: {error}"
                raise InputFaults([Fault(told, None, None, question.option)]) from None
        elif question.required and key != "id":
            missing.append(question.option)
    if not any(key in texts for key in known.TARGETS):
        options = [known.BY_KEY[key].option for key in known.TARGETS]
        missing.append(f"and one of {', '.join(options)}")
    return missing


def _name(question: Question) -> str:
    return "ID" if question.key == "id" else question.option


def _check(path: Path, config: Path | None, *, as_json: bool = False) -> int:
    """Print what ``geodns orders check`` says of the file, and return its exit code."""
    from geodns.cli.orders import check

    try:
        check([path], config, as_json)
    except typer.Exit as leaving:
        return leaving.exit_code
    return 0


def _checked(path: Path, config: Path | None) -> tuple[int, Any]:
    """The exit code of the check, and its document."""
    said = StringIO()
    with redirect_stdout(said):
        code = _check(path, config, as_json=True)
    return code, json.loads(said.getvalue())
