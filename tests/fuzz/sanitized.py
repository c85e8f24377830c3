"""Puts the native extension of another build in the place of the installed one."""

from __future__ import annotations

import ctypes
import sys
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import geodns.fastpath

NAME = "geodns.fastpath.native"


def use(folder: Path) -> None:
    """Import the extension from a ``build_ext --build-lib`` folder, for everybody after this."""
    assert hasattr(ctypes.CDLL(None), "__asan_init"), "run by tests/fuzz/sanitized.sh"
    (path,) = folder.joinpath("geodns", "fastpath").glob("native.*.so")
    spec = spec_from_file_location(NAME, path, loader=ExtensionFileLoader(NAME, str(path)))
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[NAME] = module
    spec.loader.exec_module(module)
    geodns.fastpath.native = module  # type: ignore[attr-defined]
