"""On which line of a TOML text a key or an array element stands.

tomllib gives values without their lines. This walks a text that tomllib has already read
without error, and is run only when there is a fault to tell.
"""

from __future__ import annotations

import re

Path = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BARE_VALUE = re.compile(r"[^,\]}#\n]*")
_STRINGS = (
    re.compile(r'"""(?:[^\\]|\\.)*?"{3,5}', re.DOTALL),
    re.compile(r"'''.*?'{3,5}", re.DOTALL),
    re.compile(r'"((?:[^"\\]|\\.)*)"'),
    re.compile(r"'([^']*)'"),
)


def find_lines(text: str) -> dict[Path, int]:
    """Map each key path and array element of a valid TOML text to its 1-based line."""
    walk = _Walk(text)
    try:
        walk.document()
    except (RecursionError, IndexError):
        pass
    return walk.lines


def line_of(lines: dict[Path, int], path: Path) -> int | None:
    """Return the line of a path, or of the nearest table above it that is written out."""
    for end in range(len(path), 0, -1):
        if (line := lines.get(path[:end])) is not None:
            return line
    return None


class _Walk:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[Path, int] = {}
        self._counted = (0, 1)

    def document(self) -> None:
        table: Path = ()
        repeated: dict[Path, int] = {}
        while self._skip(_BLANK) < len(self.text):
            if self.text[self.at] != "[":
                self._pair(table)
                continue
            start = self.at
            double = self.text.startswith("[[", self.at)
            self.at += 2 if double else 1
            table = self._key()
            if double:
                repeated[table] = repeated.get(table, -1) + 1
                table = (*table, repeated[table])
            self._mark(table, start)
            self.at = self.text.index("]", self.at) + (2 if double else 1)

    def _skip(self, pattern: re.Pattern[str]) -> int:
        match = pattern.match(self.text, self.at)
        self.at = match.end() if match else self.at
        return self.at

    def _mark(self, path: Path, at: int) -> None:
        counted_at, line = self._counted
        line += self.text.count("\n", counted_at, at)
        self._counted = (at, line)
        self.lines.setdefault(path, line)

    def _string(self) -> str | None:
        for pattern in _STRINGS:
            if match := pattern.match(self.text, self.at):
                self.at = match.end()
                return match[1] if match.re.groups else ""
        return None

    def _key(self) -> Path:
        parts: list[str | int] = []
        while True:
            self._skip(_SPACE)
            quoted = self._string()
            if quoted is None:
                start = self.at
                if self._skip(_BARE_KEY) == start:
                    raise IndexError
                quoted = self.text[start : self.at]
            parts.append(quoted)
            self._skip(_SPACE)
            if self.text[self.at] != ".":
                return tuple(parts)
            self.at += 1

    def _pair(self, table: Path) -> None:
        start = self.at
        path = (*table, *self._key())
        for end in range(len(table) + 1, len(path) + 1):
            self._mark(path[:end], start)
        self.at = self.text.index("=", self.at) + 1
        self._skip(_SPACE)
        self._value(path)

    def _value(self, path: Path) -> None:
        opening = self.text[self.at]
        if opening in "\"'":
            self._string()
        elif opening == "[":
            self._items(path)
        elif opening == "{":
            self.at += 1
            while self._gap() != "}":
                self._pair(path)
            self.at += 1
        else:
            self._skip(_BARE_VALUE)

    def _items(self, path: Path) -> None:
        self.at += 1
        index = 0
        while self._gap() != "]":
            self._mark((*path, index), self.at)
            self._value((*path, index))
            index += 1
        self.at += 1

    def _gap(self) -> str:
        self._skip(_BLANK)
        while self.text[self.at] == ",":
            self.at += 1
            self._skip(_BLANK)
        return self.text[self.at]
