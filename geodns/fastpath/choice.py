"""Which twin serves: the native extension, or plain Python where there is none that works."""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import NamedTuple

from geodns.errors import ServerError

NATIVE = "geodns.fastpath.native"
_NEEDED = ("FastPath", "plain_names", "index_names")


class Choice(NamedTuple):
    """module: the native extension, or None and why not. broken: it is there, but no good."""

    module: ModuleType | None
    why: str = ""
    broken: bool = False


def choose() -> Choice:
    """Import the native extension, unless GEODNS_PURE=1. Never raises."""
    if os.environ.get("GEODNS_PURE") == "1":
        return Choice(None, "GEODNS_PURE=1 chooses plain Python")
    try:
        if find_spec(NATIVE) is None:
            return Choice(None, "the native fast path is not installed")
        module = import_module(NATIVE)
        for name in _NEEDED:
            getattr(module, name)
    # An extension of another version, machine or Python fails in more ways than ImportError.
    except Exception as fault:
        return Choice(None, f"the native fast path cannot be used ({fault})", broken=True)
    return Choice(module)


def choose_as_required() -> Choice:
    """The same. ServerError if GEODNS_REQUIRE_NATIVE=1 and none works, unless GEODNS_PURE=1."""
    chosen = choose()
    required = os.environ.get("GEODNS_REQUIRE_NATIVE") == "1"
    if required and chosen.module is None and os.environ.get("GEODNS_PURE") != "1":
        raise ServerError(f"GEODNS_REQUIRE_NATIVE=1 is set, but {chosen.why}")
    return chosen
