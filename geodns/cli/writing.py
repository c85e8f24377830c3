"""Files that commands write for people: whole or not at all."""

from __future__ import annotations

from pathlib import Path

from geodns.errors import Fault, InputFaults


def write(path: Path, text: str) -> None:
    """Write a file in the place of the one before. Raises InputFaults, and leaves that then."""
    if path.is_dir():
        raise InputFaults([Fault("is a folder; name a file in it", str(path))])
    if not path.parent.is_dir():
        raise InputFaults([Fault(f"there is no folder {path.parent}", str(path))])
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(text, "utf-8")
        part.replace(path)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            told = f"cannot be written: {error.strerror or error}"
            raise InputFaults([Fault(told, str(path))]) from None
        raise
