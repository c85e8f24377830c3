"""Where a new order file goes and what it is called; and writing it, whole or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import date
from pathlib import Path

from geodns.cli.answers import read_list_file
from geodns.cli.questions import Question, default_of
from geodns.errors import Fault, InputFaults
from geodns.orders.draft import Value, propose_id, write_draft
from geodns.orders.read import read_order


def default(question: Question, answers: Mapping[str, Value], root: Path) -> str | None:
    """What no answer to a question means, an id proposed among them, or None."""
    if question.key == "id":
        return _proposed(answers, root)
    return default_of(question, answers)


def _proposed(answers: Mapping[str, Value], root: Path) -> str | None:
    when = answers.get("dates.issued", answers.get("dates.effective"))
    if not isinstance(when, date) or not {"place", "authority.name"} <= answers.keys():
        return None
    place, authority = str(answers["place"]), str(answers["authority.name"])
    reference = str(answers.get("authority.reference", ""))
    taken = {path.stem for path in root.glob("*/*.toml")}
    return propose_id(place, authority, when, reference, taken)


def free(root: Path, answers: Mapping[str, Value]) -> tuple[Path, Path | None]:
    """Where the order and its list go. Raises InputFaults where something is there already."""
    folder, ident = root / str(answers["place"]), str(answers["id"])
    order = folder / f"{ident}.toml"
    names = None
    if "list" in answers:
        source = Path(str(answers["list"])).expanduser()
        beside = source.absolute().parent.resolve() == folder.resolve()
        names = None if beside else folder / f"{ident}.domains.txt"
    for path in (order, names):
        if path is not None and os.path.lexists(path):
            raise InputFaults([Fault("exists already; take another id", str(path))])
    others = [path for path in root.glob(f"*/{ident}.toml") if path != order]
    if others:
        raise InputFaults([Fault(f"{ident!r} is the id of {others[0]} already")])
    return order, names


def write(root: Path, answers: Mapping[str, Value]) -> list[Path]:
    """Write the list, if any, and the order file, whole or not at all. Raises InputFaults."""
    order, names = free(root, answers)
    content: dict[Path, bytes] = {}
    told = {key: value for key, value in answers.items() if key not in ("place", "list")}
    if "list" in answers:
        source = str(answers["list"])
        told["targets.files"] = (names.name if names is not None else Path(source).name,)
        if names is not None:
            content[names] = read_list_file(source)
    content[order] = write_draft(told).encode()
    lists = {} if names is None else {names.name: content[names]}

    def fetch(name: str) -> bytes:
        return lists[name] if name in lists else (order.parent / name).read_bytes()

    reading = read_order(str(order), str(answers["place"]), content[order], fetch)
    if reading.faults:
        raise InputFaults(reading.faults)
    made: list[Path] = []
    folder = order.parent
    try:
        if not folder.is_dir():
            folder.mkdir()
            made.append(folder)
        for path, data in content.items():
            part = path.with_name(f".{path.name}.part")
            made.append(part)
            part.write_bytes(data)
            _place(part, path)
            made.append(path)
            part.unlink()
    except BaseException as error:
        for path in reversed(made):
            with suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            said = f"cannot be written: {error.strerror or error}"
            raise InputFaults([Fault(said, str(error.filename2 or error.filename))]) from None
        raise
    return list(content)


def _place(part: Path, path: Path) -> None:
    """Give a file its name; unlike a rename, it never overwrites another. Raises OSError."""
    try:
        os.link(part, path)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS):
            raise
        # Some file systems know no links.
        with path.open("xb") as file:
            file.write(part.read_bytes())
