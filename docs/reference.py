"""Write docs/settings.md and docs/orders.md from the models that read those files.

``python docs/reference.py`` writes them; with ``--check`` it only says whether they are up to
date (exit code 1 if not).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from geodns.config import FILE_NAME
from geodns.orders.schema import Order
from geodns.settings import (
    Settings,
    default_databases,
    default_directories,
    default_state,
)

HERE = Path(__file__).parent
GENERATED = "<!-- Generated from the models by `make docs`; edit those instead. -->"
SEEN_ELSEWHERE = (default_databases, default_directories, default_state)


def settings_page() -> Iterator[str]:
    """The lines of docs/settings.md."""
    yield from ("# Settings", "", GENERATED, "")
    yield (
        f"Every command takes `-c FILE`; without it `./{FILE_NAME}` is read; without that, the "
        "defaults below hold. Relative paths are relative to the settings file. Unknown keys "
        "are faults, and all faults are told at once, each with its line. SIGHUP and a change "
        "of the file reload it; what `[server]` listens on, its workers and its state folder "
        "are taken over at the next start only."
    )
    for section, info in Settings.model_fields.items():
        model = info.annotation
        assert isinstance(model, type)
        assert issubclass(model, BaseModel)
        yield from ("", f"## [{section}]", "", *_doc(model), "")
        yield from _fields(model)
        for key, inner in model.model_fields.items():
            if (rows := _rows(inner.annotation)) is not None:
                yield from ("", f"### [[{section}.{key}]]", "", *_doc(rows), "")
                yield from _fields(rows)


def orders_page() -> Iterator[str]:
    """The lines of docs/orders.md."""
    yield from ("# Order files", "", GENERATED, "")
    yield (
        "One order a file, `<PLACE>/<id>.toml` in one of the folders of `[orders]` in the "
        "settings; the folder is the authority's place and the default jurisdiction. Unknown "
        "keys are faults. `geodns orders check FOLDER` tells all faults and findings; `geodns "
        "orders schema` prints the JSON Schema."
    )
    yield ""
    plain = [key for key, info in Order.model_fields.items() if _section(info) is None]
    yield from _fields(Order, plain)
    for key, info in Order.model_fields.items():
        if (model := _section(info)) is not None:
            yield from ("", f"## [{key}]", "", *_doc(model), "")
            yield from _fields(model)


def _section(info: FieldInfo) -> type[BaseModel] | None:
    kinds = (info.annotation, *get_args(info.annotation))
    for kind in kinds:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def _rows(kind: Any) -> type[BaseModel] | None:
    """The model of a list of tables."""
    row = get_args(kind)[0] if get_origin(kind) is tuple else None
    return row if isinstance(row, type) and issubclass(row, BaseModel) else None


def _doc(model: type[BaseModel]) -> tuple[str, ...]:
    return (" ".join((model.__doc__ or "").split()),)


def _fields(model: type[BaseModel], keys: list[str] | None = None) -> Iterator[str]:
    yield "| key | type | default | meaning |"
    yield "|---|---|---|---|"
    for key in keys or model.model_fields:
        info = model.model_fields[key]
        cells = (
            f"`{info.alias or key}`",
            _type(info.annotation),
            _default(info),
            " ".join((info.description or "").split()),
        )
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _type(kind: Any) -> str:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (Union, UnionType):
        return " or ".join(_type(one) for one in arguments if one is not NoneType)
    if origin is tuple:
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        return "tables"
    if origin is not None and hasattr(kind, "__metadata__"):
        return _type(arguments[0])
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return "table"
    names = {"str": "text", "int": "integer", "float": "number", "Path": "path"}
    return names.get(getattr(kind, "__name__", ""), getattr(kind, "__name__", str(kind)))


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "**required**"
    if info.default_factory in SEEN_ELSEWHERE:
        return "see there"
    default = info.get_default(call_default_factory=True, validated_data={})
    if default is None:
        return "unset"
    if isinstance(default, BaseModel | dict):
        return "empty"
    if isinstance(default, tuple):
        return "`[" + ", ".join(f'"{value}"' for value in default) + "]`"
    return f'`"{default}"`' if isinstance(default, str) else f"`{default}`"


def main(arguments: list[str]) -> int:
    """Write the pages, or check them; returns the exit code."""
    code = 0
    for file_name, lines in (("settings.md", settings_page()), ("orders.md", orders_page())):
        path = HERE / file_name
        text = "\n".join(lines) + "\n"
        if "--check" not in arguments:
            path.write_text(text, "utf-8")
        elif not path.exists() or path.read_text("utf-8") != text:
            sys.stderr.write(f"docs/{file_name} is not up to date; run make docs\n")
            code = 1
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
