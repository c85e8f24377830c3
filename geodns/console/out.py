"""What people and scripts see: tables, documents, lines, progress.

On a terminal Rich draws; off it the text is plain, aligned, never cut, never wrapped and
without colour, so that it can be cut with awk and compared in tests.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING
from unicodedata import combining, east_asian_width

if TYPE_CHECKING:
    from rich.console import Console

    from geodns.errors import GeodnsError


def line(text: str = "", *, style: str | None = None) -> None:
    """Print one line to stdout; ``style`` (a Rich style such as ``bold red``) on a terminal."""
    if style is not None and sys.stdout.isatty():
        _console().print(printable(text), style=style, markup=False, highlight=False)
    else:
        print(printable(text))  # noqa: T201 - this is the place that prints


def document(value: object) -> None:
    """Print a value as one indented JSON document; bytes, sets and dates become text."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=_plain))  # noqa: T201


def _plain(value: object) -> object:
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    if isinstance(value, bytes):
        return value.hex()
    return str(value)


def complain(error: GeodnsError) -> None:
    """Print an error to stderr, one line a fault, each after ``geodns:``."""
    red, off = ("\x1b[31m", "\x1b[0m") if sys.stderr.isatty() else ("", "")
    for text in str(error).splitlines() or [type(error).__name__]:
        print(f"{red}geodns:{off} {printable(text)}", file=sys.stderr)  # noqa: T201


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    title: str | None = None,
    *,
    styles: Callable[[str], str | None] | None = None,
    shrink: Sequence[str] = (),
) -> None:
    """Print a table of text cells; ``styles`` gives a cell's Rich style on a terminal.

    shrink: the columns of prose (titles, messages), which a narrow terminal folds between
    words; all others (ids, numbers, dates, paths) are kept whole.
    """
    cells = [[printable(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _draw(columns, cells, title, styles, shrink)
    else:
        for text in plain_table(columns, cells, title):
            print(text)  # noqa: T201


def plain_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], title: str | None = None
) -> list[str]:
    """The lines of a plain table: columns as wide as their widest cell, two spaces between."""
    every = [list(columns), *[list(row) for row in rows]]
    widths = [max(width(row[at]) for row in every) for at in range(len(columns))]
    lines = [title] if title else []
    for row in every:
        padded = [cell + " " * (wide - width(cell)) for cell, wide in zip(row, widths, strict=True)]
        lines.append("  ".join(padded).rstrip())
    return lines


def width(text: str) -> int:
    """Columns that a text takes on a terminal."""
    return sum(
        0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text
    )


def printable(text: str) -> str:
    """The text without control characters: order files and upstreams are not to be trusted."""
    return "".join(
        char if char.isprintable() or char in "\n\t" else char.encode("unicode_escape").decode()
        for char in text
    )


def short_path(path: str) -> str:
    """A path as people would type it here: relative to the current folder if it lies in it."""
    here = str(Path.cwd())
    return path.removeprefix(here + os.sep) if here != os.sep else path


def _draw(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    title: str | None,
    styles: Callable[[str], str | None] | None,
    shrink: Sequence[str],
) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    console = _console()
    drawn = Table(
        title=title,
        box=box.SIMPLE_HEAD,
        title_justify="left",
        header_style="bold",
        padding=(0, 1, 0, 0),
    )
    widths = _widths(columns, rows, shrink, console.width)
    if sum(widths) + 2 * len(columns) > console.width:
        _draw_records(columns, rows, title, styles)
        return
    for column, wide in zip(columns, widths, strict=True):
        whole = column not in shrink
        drawn.add_column(Text(column), no_wrap=whole, min_width=wide, max_width=wide)
    for row in rows:
        drawn.add_row(*(Text(cell, style=(styles and styles(cell)) or "") for cell in row))
    console.print(drawn)


def _draw_records(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    title: str | None,
    styles: Callable[[str], str | None] | None,
) -> None:
    """Rows one below the other, a line a cell, where a terminal is too narrow for the table."""
    if title:
        line(title, style="italic")
    wide = max(map(width, columns))
    for row in rows:
        for column, cell in zip(columns, row, strict=True):
            style = styles(cell) if styles is not None else None
            room = max(20, _console().width - wide - 2)
            head = column + " " * (wide - width(column))
            for text in wrap(cell, room, break_long_words=False, break_on_hyphens=False):
                line(f"{head}  {text}", style=style)
                head = " " * wide
        line()


def _widths(
    columns: Sequence[str], rows: Sequence[Sequence[str]], shrink: Sequence[str], room: int
) -> list[int]:
    """How wide each column is drawn: those of prose share what the others leave."""
    widest = [max(map(width, column)) for column in zip(columns, *rows, strict=True)]
    # A word is not broken, so no column of prose is narrower than its longest word.
    words = [
        max((width(word) for cell in cells for word in cell.split()), default=0)
        for cells in zip(columns, *rows, strict=True)
    ]
    left = room - 2 * len(columns)
    left -= sum(size for size, name in zip(widest, columns, strict=True) if name not in shrink)
    prose = [at for at, name in enumerate(columns) if name in shrink]
    for number, at in enumerate(sorted(prose, key=lambda at: widest[at])):
        share = max(left // (len(prose) - number), words[at])
        widest[at] = min(widest[at], share)
        left -= widest[at]
    return widest


def _console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=stderr)


@contextmanager
def progress(description: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr while it is a terminal, else nothing.

    Yields a function of (done, total) that may be called as often as one likes.
    """
    if not sys.stderr.isatty():
        yield _ignore
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    shown = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        console=_console(stderr=True),
        transient=True,
    )
    with shown:
        task = shown.add_task(description, total=None)

        def advance(done: int, total: int) -> None:
            shown.update(task, completed=done, total=total or None)

        yield advance


def _ignore(done: int, total: int) -> None:
    del done, total
