"""``geodns orders diff``: two states of the orders, and in words what changes for whom."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geodns.cli.options import Config, Json
from geodns.errors import Fault, InputFaults, OrderError

if TYPE_CHECKING:
    from geodns.config import Settings
    from geodns.orders.loaded import LoadedOrder

WORKING = "the working folders"


def diff_orders(
    before: Annotated[
        str,
        typer.Argument(
            metavar="A",
            help="An order file, a folder of orders or a git revision; A..B names two revisions,"
            " and A...B compares with where they parted. What exists as a path is a path.",
        ),
    ],
    after: Annotated[
        str | None,
        typer.Argument(
            metavar="B",
            help="The same. Without it: the directories of the settings as they are now.",
            show_default=False,
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="TIME", help="As of this instant, ISO 8601 (default: now)."),
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print Markdown, for a comment on a change.")
    ] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Say in words what changes for whom between two states of the orders, A and B.

    It takes all orders of both into account: a name that one order drops and another in force still
    names there is still blocked. What would change later is told with its date. What the
    settings' emergency list spares, and who has approved an order, is not looked at. A
    revision is read from the git repository that the directories of the settings lie in. One order
    file, or one place's folder, alone is compared with what the directories have in its place.

    Exit codes: 0 no client gets another answer, now or later; 1 some client does; 2 bad input.

    Example: geodns orders diff main
    """
    from geodns.cli.facts import parse_instant
    from geodns.cli.told import as_document, as_markdown, as_text
    from geodns.config import load_settings
    from geodns.console import out
    from geodns.orders.compare import compare
    from geodns.policy.compile import select_in_force

    if markdown and as_json:
        raise InputFaults([Fault("--markdown and --json: give one of them")])
    now, settings = parse_instant(at).astimezone(UTC), load_settings(config)
    with tempfile.TemporaryDirectory(prefix="geodns-diff-") as scratch:
        sides = _sides(before, after, settings, Path(scratch))
        old, new = _read_all(sides, settings)
    if after is None:
        old = _in_place(sides[0], old, new)
    found = compare(old, new, now, select_in_force)
    head = (sides[0].label, sides[1].label, now)
    if as_json:
        out.document(as_document(found, *head))
    else:
        for line in as_markdown(found, *head) if markdown else as_text(found, *head):
            out.line(line)
    if found.answers:
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class _Side:
    """One state of the orders.

    directories: what is read. shown: how their paths are told, where that is another. part: the
    order's id or the place, where it is one order file or one place's folder.
    """

    label: str
    directories: tuple[Path, ...]
    shown: tuple[tuple[str, str], ...] = ()
    part: str | None = None


def _sides(
    before: str, after: str | None, settings: Settings, scratch: Path
) -> tuple[_Side, _Side]:
    from geodns.cli.revision import Repository

    directories = settings.orders.directories
    repository: list[Repository] = []

    def revision(name: str, commit: str | None = None) -> _Side:
        if not repository:
            repository.append(Repository(directories))
        here = repository[0]
        commit = commit or here.commit(name)
        to = Path(tempfile.mkdtemp(dir=scratch))
        roots = here.write(commit, to)
        shown = [
            (str(root), f"{name}:{folder}")
            for root, folder in zip(roots, here.folders, strict=True)
        ]
        return _Side(name, tuple(roots), tuple(shown))

    def side(text: str) -> _Side:
        path = Path(text)
        return _path_side(path, scratch) if path.exists() else revision(text)

    one, dots, other = before.partition("...")
    if not dots:
        one, dots, other = before.partition("..")
    if dots and after is None and not Path(before).exists():
        one, other = one or "HEAD", other or "HEAD"
        new = revision(other)
        here = repository[0]
        if dots == "..":
            return revision(one), new
        commits = here.commit(one), here.commit(other)
        return revision(f"{one}...", here.base(*commits)), new
    if after is not None:
        return side(before), side(after)
    return side(before), _Side(WORKING, directories)


def _path_side(path: Path, scratch: Path) -> _Side:
    """A side that is on disk. One file, or one place's folder, is read through links to its files,
    so that all is read in one way."""
    if path.is_dir() and not any(path.glob("*.toml")):
        return _Side(str(path), (path,))
    folder = path if path.is_dir() else path.parent
    if not path.is_dir() and path.suffix != ".toml":
        raise InputFaults([Fault("is no order file: its name does not end in .toml", str(path))])
    place = folder.absolute().name
    root = Path(tempfile.mkdtemp(dir=scratch))
    (root / place).mkdir()
    for file in folder.iterdir():
        if file.is_file() and (path.is_dir() or file.suffix != ".toml" or file.name == path.name):
            (root / place / file.name).symlink_to(file.absolute())
    shown = ((f"{root}/{place}", str(folder)),)
    return _Side(str(path), (root,), shown, place if path.is_dir() else path.stem)


def _read_all(
    sides: Sequence[_Side], settings: Settings
) -> tuple[Sequence[LoadedOrder], Sequence[LoadedOrder]]:
    """The orders of both sides. Raises OrderError with all faults of both."""
    from geodns.console import out
    from geodns.orders.feeds.kept import FEEDS
    from geodns.orders.guard.judge import known_with
    from geodns.orders.load import OrderLoader

    known, feeds = known_with(settings.orders.popular), settings.server.state / FEEDS
    found, faults = [], []
    for side in sides:
        with out.progress(f"reading orders of {side.label}") as advance:
            loader = OrderLoader(side.directories, None, known=known, feeds=feeds)
            loaded = loader.load(advance)
        found.append(loaded.orders)
        faults += [
            replace(
                fault,
                file=_shown(fault.file, side.shown),
                message=_shown(fault.message, side.shown),
            )
            for fault in loaded.faults
        ]
    if faults:
        raise OrderError(faults)
    return found[0], found[1]


def _shown(text: str | None, shown: Iterable[tuple[str, str]]) -> str:
    text = text or ""
    for root, label in shown:
        text = text.replace(root, label)
    return text


def _in_place(
    side: _Side, part: Sequence[LoadedOrder], working: Sequence[LoadedOrder]
) -> Sequence[LoadedOrder]:
    """The working orders with a part of them as the side has it."""
    if side.part is None:
        return part
    gone = {each.order.id for each in part}
    gone |= {each.order.id for each in working if side.part in (each.order.id, each.place)}
    return [*(each for each in working if each.order.id not in gone), *part]
