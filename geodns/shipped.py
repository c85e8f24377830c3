"""Where the database and the orders that ship are: in the checkout, or packaged in the wheel."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_WHEEL = _PACKAGE / "_shipped"
_CHECKOUT = _PACKAGE.parent


def data() -> Path:
    """The folder of the database that ships; it may be missing in a stripped installation."""
    return _find("data")


def orders() -> Path:
    """The folder of the orders that ship, one folder a place inside it."""
    return _find("orders")


def _find(name: str) -> Path:
    packaged = _WHEEL / name
    return packaged if packaged.is_dir() else _CHECKOUT / name
