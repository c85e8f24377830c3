"""Asking at a terminal: one question after the other, each until it has a good answer."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from shutil import get_terminal_size
from textwrap import wrap

from geodns.cli.answers import read_answer
from geodns.cli.filing import default, free
from geodns.cli.questions import QUESTIONS, TARGETS, Question, wanted, why
from geodns.console.out import printable
from geodns.errors import Fault, InputFaults
from geodns.orders.draft import Value


def ask_all(answers: dict[str, Value], root: Path) -> None:
    """Ask what has no answer yet, until it has a good one."""
    _tell("Each answer is checked at once. Enter takes what stands in [brackets], or nothing;")
    _tell("Ctrl-C ends it, and leaves nothing behind.")
    head = None
    for question in QUESTIONS:
        head = question.head or head
        if question.key in answers or not wanted(question, answers):
            continue
        if head is not None:
            _tell("")
            _tell(head, "1;4")
            head = None
        usual = default(question, answers, root)
        last = question.key == TARGETS[-1]
        needed = last and not any(key in answers for key in TARGETS)
        _tell("")
        _tell(question.ask, "1")
        _tell(f"  {why(question, answers)}", "2")
        value = _ask(question, usual, answers, root, required=question.required or needed)
        if value is not None:
            answers[question.key] = value


def _ask(
    question: Question,
    usual: str | None,
    answers: Mapping[str, Value],
    root: Path,
    *,
    required: bool,
) -> Value | None:
    many = question.sort in ("names", "lines")
    mark = f"  [{usual}] > " if usual is not None else "  > "
    got: list[str] = []
    while True:
        text = _read(mark if not got else "  and > ").strip()
        if not text and got:
            return read_answer(question, "\n".join(got), answers)
        if not text and usual is None:
            if not required:
                return None
            _tell("  an answer is needed", "31")
            continue
        tried = "\n".join([*got, text or usual or ""])
        try:
            value = read_answer(question, tried, answers)
            if question.key == "id":
                free(root, {**answers, "id": value})
        except (ValueError, InputFaults) as error:
            _tell(f"  {error}", "31")
            continue
        if not many or not text:
            return value
        got.append(text)
        if len(got) == 1:
            _tell("  more, or Enter to go on", "2")


def _read(prompt: str) -> str:
    """One line of the terminal. Raises InputFaults where it ends."""
    with suppress(ImportError):
        import readline  # noqa: F401 - to edit the line
    try:
        if sys.stdout.isatty():
            return input(prompt)
        sys.stderr.write(prompt)
        sys.stderr.flush()
        line = sys.stdin.readline()
    except EOFError:
        line = ""
    except UnicodeDecodeError:
        return "\udcff"  # is refused as what it is: no text
    except KeyboardInterrupt:
        _tell("")
        raise
    if not line:
        _tell("")
        raise InputFaults([Fault("the input ended before all was answered; nothing is written")])
    return line.rstrip("\n")


def _tell(text: str, style: str = "") -> None:
    """A line to the person, on stderr: stdout is for what comes of it."""
    on, off = (f"\x1b[{style}m", "\x1b[0m") if style and sys.stderr.isatty() else ("", "")
    indent = text[: len(text) - len(text.lstrip(" "))]
    wide = get_terminal_size().columns - 1
    lines = wrap(printable(text), wide, subsequent_indent=indent, break_on_hyphens=False)
    sys.stderr.write("\n".join(f"{on}{line}{off}" for line in lines or [""]) + "\n")
