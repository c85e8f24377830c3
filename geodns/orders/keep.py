"""The last good edition of each order file, kept on disk for the day its file is faulty."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

_MAGIC = b"geodns last good order 1\n"
_SUFFIX = ".good"
_DIGEST = 32


@dataclass(frozen=True, slots=True)
class Kept:
    """A good edition as it was read: the order file's bytes and its lists'."""

    path: str
    place: str
    data: bytes
    lists: dict[str, bytes]


class LastGood:
    """A directory with one file an order file, written whole or not at all.

    A file holds the bytes of the order file and of its lists, with their SHA-256 behind;
    one that is damaged is not used. Its name is the digest of the order file's absolute
    path and the start of the edition, so that an unchanged edition is not written again.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._held: dict[str, str] = {}
        with suppress(OSError):  # put says what is wrong with the directory
            for entry in os.scandir(directory):
                key, _, rest = entry.name.partition("-")
                if rest.endswith(_SUFFIX):
                    self._held[key] = entry.name

    def __contains__(self, path: str) -> bool:
        return _key(path) in self._held

    def put(self, kept: Kept, edition: str) -> None:
        """Keep an edition in place of the one before. Raises OSError."""
        key = _key(kept.path)
        name = f"{key}-{edition[:16]}{_SUFFIX}"
        before = self._held.get(key)
        if before == name:
            return
        self._directory.mkdir(parents=True, exist_ok=True)
        part = self._directory / f"{name}.part"
        # Not synced to the disk: after a power cut a torn file is found by its digest.
        part.write_bytes(_encode(kept))
        part.replace(self._directory / name)
        self._held[key] = name
        if before is not None:
            (self._directory / before).unlink(missing_ok=True)

    def get(self, path: str) -> Kept | None:
        """Return the kept edition of an order file, or None where there is none undamaged."""
        name = self._held.get(_key(path))
        kept = self._read(name) if name is not None else None
        return kept if kept is not None and kept.path == str(Path(path).absolute()) else None

    def all(self) -> list[Kept]:
        """Return every undamaged edition."""
        return [kept for name in self._held.values() if (kept := self._read(name)) is not None]

    def retain(self, paths: set[str]) -> None:
        """Forget the editions of all files but these. Raises OSError."""
        keys = {_key(path) for path in paths}
        for key in self._held.keys() - keys:
            (self._directory / self._held[key]).unlink(missing_ok=True)
            del self._held[key]

    def _read(self, name: str) -> Kept | None:
        try:
            return _decode((self._directory / name).read_bytes())
        except (OSError, ValueError, KeyError, TypeError):
            return None


@lru_cache(maxsize=65536)
def _key(path: str) -> str:
    return sha256(os.fsencode(str(Path(path).absolute()))).hexdigest()[:32]


def _encode(kept: Kept) -> bytes:
    header = {
        "path": str(Path(kept.path).absolute()),
        "place": kept.place,
        "sizes": [len(kept.data), *map(len, kept.lists.values())],
        "lists": list(kept.lists),
    }
    body = json.dumps(header).encode() + b"\n" + kept.data + b"".join(kept.lists.values())
    return _MAGIC + body + sha256(body).digest()


def _decode(content: bytes) -> Kept:
    body, digest = content[len(_MAGIC) : -_DIGEST], content[-_DIGEST:]
    if not content.startswith(_MAGIC) or sha256(body).digest() != digest:
        raise ValueError("damaged")
    head, _, rest = body.partition(b"\n")
    header: Mapping[str, list[str]] = json.loads(head)
    parts = []
    for size in map(int, header["sizes"]):
        parts.append(rest[:size])
        rest = rest[size:]
    lists = dict(zip(header["lists"], parts[1:], strict=True))
    return Kept(str(header["path"]), str(header["place"]), parts[0], lists)
