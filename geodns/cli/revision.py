"""Orders as they stand in a revision of a git repository, read without touching a working tree."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from geodns.errors import Fault, GeodnsError, InputFaults

_LINK, _MODULE = b"120000", b"160000"


class Repository:
    """The git repository in which some folders of orders lie.

    Raises InputFaults where they lie in none, or in several.
    """

    def __init__(self, directories: Sequence[Path]) -> None:
        tops = {directory: _top(directory) for directory in directories}
        outside = [each for each, top in tops.items() if top is None]
        if outside:
            told = "lies in no git repository, so no revision has it"
            raise InputFaults([Fault(told, str(each)) for each in outside])
        found = {top for top in tops.values() if top is not None}
        if len(found) != 1:
            told = "the directories of orders lie in several git repositories"
            raise InputFaults([Fault(f"{told}: {', '.join(sorted(map(str, found)))}")])
        (self.top,) = found
        self.folders = [each.resolve().relative_to(self.top).as_posix() for each in directories]

    def commit(self, revision: str) -> str:
        """The commit that a revision names. Raises InputFaults."""
        if revision.startswith("-") or any(ch.isspace() or not ch.isprintable() for ch in revision):
            raise InputFaults([Fault(f"{revision!r} is no revision")])
        told = f"{revision!r} is neither a file or folder here nor a revision of {self.top}"
        wanted = f"{revision}^{{commit}}"
        found = _git(self.top, "rev-parse", "--verify", "--quiet", wanted, told=told)
        return found.decode().strip()

    def base(self, one: str, other: str) -> str:
        """The commit from which two commits parted. Raises InputFaults."""
        told = f"{one} and {other} have no commit in common (is the clone shallow?)"
        return _git(self.top, "merge-base", one, other, told=told).decode().strip()

    def write(self, commit: str, to: Path) -> list[Path]:
        """Write the folders of orders of a commit below an empty folder; return where they are.

        A folder that the commit does not have is empty. Raises InputFaults.
        """
        found = []
        for number, folder in enumerate(self.folders):
            root = to / str(number)
            root.mkdir()
            self._write(commit, folder, root)
            found.append(root)
        return found

    def _write(self, commit: str, folder: str, root: Path) -> None:
        below = [] if folder == "." else [f"{folder}/"]
        listed = _git(self.top, "ls-tree", "-r", "-z", "--full-tree", commit, "--", *below)
        files: list[tuple[str, str]] = []
        for row in filter(None, listed.split(b"\0")):
            head, _, raw = row.partition(b"\t")
            mode, _, blob = head.split(b" ")[:3]
            path = os.fsdecode(raw)
            inner = path if folder == "." else path.removeprefix(f"{folder}/")
            parts = PurePosixPath(inner).parts
            if mode == _MODULE or not _is_read(inner):
                continue
            if mode == _LINK or ".." in parts or PurePosixPath(inner).is_absolute():
                told = "is a link, which is not followed in a revision"
                raise InputFaults([Fault(told, f"{commit[:12]}:{path}")])
            files.append((inner, blob.decode()))
        for (inner, _), data in zip(files, self._blobs([blob for _, blob in files]), strict=True):
            path_to = root / inner
            path_to.parent.mkdir(parents=True, exist_ok=True)
            path_to.write_bytes(data)

    def _blobs(self, blobs: Sequence[str]) -> Iterator[bytes]:
        if not blobs:
            return
        asked = "".join(f"{blob}\n" for blob in blobs).encode()
        out = _git(self.top, "cat-file", "--batch", given=asked)
        at = 0
        for blob in blobs:
            end = out.index(b"\n", at)
            head = out[at:end].split(b" ")
            if len(head) != 3 or head[1] != b"blob":
                raise GeodnsError(f"git cannot read the object {blob} of {self.top}")
            size = int(head[2])
            yield out[end + 1 : end + 1 + size]
            at = end + 1 + size + 1


def _is_read(inner: str) -> bool:
    """Whether anything reads a file at that depth: <PLACE>/<file>, or a misplaced order file."""
    parts = PurePosixPath(inner).parts
    return not any(part.startswith(".") for part in parts) and (
        len(parts) >= 2 or inner.endswith(".toml")
    )


def _top(directory: Path) -> Path | None:
    """The top of the working tree that a folder lies in; the folder itself may have gone."""
    there = directory.resolve()
    while not there.is_dir():
        there = there.parent
    try:
        found = _git(there, "rev-parse", "--show-toplevel", told="none")
    except InputFaults:
        return None
    return Path(os.fsdecode(found.rstrip(b"\n"))).resolve()


def _git(folder: Path, *arguments: str, given: bytes = b"", told: str | None = None) -> bytes:
    """Run git and return what it prints. told: what to say where it fails."""
    # In a hook git sets these for its own repository, which need not be that of the orders.
    dropped = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")
    environment = {key: value for key, value in os.environ.items() if key not in dropped}
    environment |= {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            input=given,
            capture_output=True,
            env=environment,
            check=False,
        )
    except FileNotFoundError:
        raise GeodnsError("git is not installed, and revisions are read with it") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().partition("\n")[0]
        if "dubious ownership" in said:
            raise GeodnsError(f"git: {said}; see safe.directory in git help config")
        raise InputFaults([Fault(told or f"git {arguments[0]} failed: {said}", None)])
    return done.stdout
