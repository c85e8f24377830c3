"""On which line of a TOML document each key and array item stands.

The standard library's parser does not tell, and an operator who is told the line finds the
fault at once. Only documents that tomllib accepts are read here, and only after a fault was
found, so that nothing is checked twice.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence

Path = tuple[str | int, ...]

_ENDS = frozenset(",]}\n#")


def find_line(lines: dict[Path, int], path: Sequence[str | int]) -> int | None:
    """The line of a path, or of the nearest thing around it that has one."""
    for length in range(len(path), 0, -1):
        if (line := lines.get(tuple(path[:length]))) is not None:
            return line
    return None


def read_lines(text: str) -> dict[Path, int]:
    """Map each path (``("targets", "domains", 3)``) of a valid document to its 1-based line."""
    try:
        scan = _Scan(text.replace("\r\n", "\n"))
        scan.document()
    except (IndexError, RecursionError, tomllib.TOMLDecodeError):
        return {}
    return scan.lines


class _Scan:
    def __init__(self, text: str) -> None:
        self.text = text + "\n"
        self.at = 0
        self.lines: dict[Path, int] = {}
        self.counts: dict[Path, int] = {}
        self.counted = (0, 1)

    def document(self) -> None:
        table: Path = ()
        while self._blank():
            if self.text.startswith("[[", self.at):
                self.at += 2
                path = self._within(self._keys())
                index = self.counts[path] = self.counts.get(path, -1) + 1
                table = (*path, index)
                self._note(path)
                self._note(table)
                self.at += 2
            elif self.text[self.at] == "[":
                self.at += 1
                table = self._within(self._keys())
                for length in range(1, len(table) + 1):
                    self._note(table[:length])
                self.at += 1
            else:
                self._pair(table)

    def _within(self, keys: list[str]) -> Path:
        # [fruit.variety] below [[fruit]] means the newest element of fruit.
        path: Path = ()
        for at, key in enumerate(keys):
            path = (*path, key)
            if at < len(keys) - 1 and path in self.counts:
                path = (*path, self.counts[path])
        return path

    def _note(self, path: Path) -> None:
        at, line = self.counted
        line += self.text.count("\n", at, self.at)
        self.counted = (self.at, line)
        self.lines.setdefault(path, line)

    def _blank(self) -> bool:
        """Go past white space, line ends and comments; False at the end of the text."""
        while self.at < len(self.text):
            if self.text[self.at] == "#":
                self.at = self.text.index("\n", self.at)
            elif not self.text[self.at].isspace():
                return True
            self.at += 1
        return False

    def _keys(self) -> list[str]:
        keys = []
        while True:
            self._blank()
            start = self.at
            if self.text[start] in "\"'":
                self._string()
            else:
                while self.text[self.at].isalnum() or self.text[self.at] in "_-":
                    self.at += 1
            raw = self.text[start : self.at]
            keys.append(next(iter(tomllib.loads(f"{raw} = 0"))))
            self._blank()
            if self.text[self.at] != ".":
                return keys
            self.at += 1

    def _pair(self, table: Path) -> None:
        self._blank()
        start = self.at
        path = (*table, *self._keys())
        after, self.at = self.at, start
        for length in range(len(table) + 1, len(path) + 1):
            self._note(path[:length])
        self.at = after + 1
        self._value(path)

    def _value(self, path: Path) -> None:
        self._blank()
        first = self.text[self.at]
        if first in "\"'":
            self._string()
        elif first == "[":
            self._sequence(path, "]")
        elif first == "{":
            self._sequence(path, "}")
        elif first in _ENDS:
            raise IndexError  # no value: to go on from here would be for ever
        else:
            while self.text[self.at] not in _ENDS:
                self.at += 1

    def _sequence(self, path: Path, end: str) -> None:
        self.at += 1
        index = 0
        while self._blank() and self.text[self.at] != end:
            if self.text[self.at] == ",":
                self.at += 1
            elif end == "}":
                self._pair(path)
            else:
                self._note((*path, index))
                self._value((*path, index))
                index += 1
        self.at += 1

    def _string(self) -> None:
        quote = self.text[self.at]
        mark = quote * 3 if self.text.startswith(quote * 3, self.at) else quote
        self.at += len(mark)
        while not self.text.startswith(mark, self.at):
            self.at += 2 if self.text[self.at] == "\\" and quote == '"' else 1
        self.at += len(mark)
        # Up to two quotes may stand right before the closing three.
        while len(mark) == 3 and self.text[self.at] == quote:
            self.at += 1
