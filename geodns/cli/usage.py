"""How the commands' help looks: plain words for arguments and options, whole sentences."""

from __future__ import annotations

import re
from typing import Any

from typer.core import TyperCommand, TyperGroup

_TYPE = re.compile(r"\s*<[^>]*>")
_RANGE = re.compile(r"([\d.]+)<=x<=([\d.]+)")


class Command(TyperCommand):
    """A command whose help says ``NAME [TYPE]``, without the types that a program sees."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """The words after the command in its usage line: ``NAME``, ``[TYPE]``, ``PATH...``."""
        return [_plain(piece) for piece in super().collect_usage_pieces(ctx)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the lists of arguments and options."""
        _write_params(self, ctx, formatter)


class Group(TyperGroup):
    """A group of commands whose help lines are not cut."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the lists of options and commands."""
        _write_params(self, ctx, formatter)
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands, each with the whole first paragraph of its help."""
        rows = []
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                first = (command.help or "").strip().partition("\n\n")[0]
                rows.append((name, " ".join(first.split())))
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)


def _write_params(command: Any, ctx: Any, formatter: Any) -> None:
    rows: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
    for param in command.get_params(ctx):
        record = param.get_help_record(ctx)
        if record is None:
            continue
        name, text = record
        if param.param_type_name == "argument":
            rows["Arguments"].append((_plain(_TYPE.sub("", name)).strip("[]"), text))
        else:
            rows["Options"].append((_TYPE.sub("", name), _RANGE.sub(r"\1 to \2", text)))
    for title, some in rows.items():
        if some:
            with formatter.section(title):
                formatter.write_dl(some)


def _plain(piece: str) -> str:
    """``{NAME}...`` as ``NAME...``, and ``[[TYPE]]`` as ``[TYPE]``."""
    piece = re.sub(r"^\{(.*)\}(\.\.\.)?$", r"\1\2", piece)
    return re.sub(r"^\[\[(.*)\]\]$", r"[\1]", piece)
