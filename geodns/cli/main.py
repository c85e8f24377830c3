"""The ``geodns`` program: its commands, and how its errors look.

Commands are registered here by name; the module of a command is imported when it is called,
so that ``geodns --help`` and short commands start at once.
"""

from __future__ import annotations

import io
import os
import sys
import traceback
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version as distribution_version
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from geodns.cli.usage import Command, Group
from geodns.errors import GeodnsError
from geodns.fastpath.choice import choose, choose_as_required


@dataclass(frozen=True, slots=True)
class Registration:
    """A command: the module and function (or Typer sub-app) that is it, and its help line."""

    module: str
    attribute: str
    help: str


COMMANDS = {
    "serve": Registration("geodns.cli.serve", "serve", "Run the resolver."),
    "status": Registration("geodns.cli.serve", "status", "Show what the running server has."),
    "demo": Registration("geodns.cli.demo", "demo", "Show it all offline, on this machine."),
    "blockpage": Registration(
        "geodns.cli.blockpage", "blockpage", "Run the block page without the resolver."
    ),
    "query": Registration("geodns.cli.query", "query", "Ask a server as a client in a place."),
    "explain": Registration("geodns.cli.explain", "explain", "Show the ruling and its grounds."),
    "matrix": Registration("geodns.cli.matrix", "matrix", "Show where names are blocked."),
    "prove": Registration(
        "geodns.cli.prove", "prove", "Prove where answers change, and nowhere else."
    ),
    "map": Registration("geodns.cli.map", "draw", "Draw where a name is blocked."),
    "report": Registration("geodns.cli.report", "report", "Make a transparency report."),
    "locate": Registration("geodns.cli.locate", "locate", "Show where an address is."),
    "feeds": Registration(
        "geodns.cli.feeds", "app", "Look at and fetch the official lists of orders."
    ),
    "geoip": Registration("geodns.cli.geoip", "app", "Look at and update the databases."),
    "verify": Registration("geodns.cli.ledger", "verify", "Check that the ledger is whole."),
    "receipt": Registration("geodns.cli.ledger", "receipt", "Show what the ledger proves."),
    "orders": Registration("geodns.cli.orders", "app", "Check and show order files."),
}


class Output(io.TextIOWrapper):
    """Standard output whose reader may go (``| head``): what it has not read is nobody's loss.

    The command goes on to its end, since its exit code tells something, too.
    """

    def write(self, text: str) -> int:
        """Write, or not if nobody reads any more."""
        try:
            return super().write(text)
        except BrokenPipeError:
            self._let_go()
            return len(text)

    def flush(self) -> None:
        """Hand over what was written, or not if nobody reads any more."""
        try:
            super().flush()
        except BrokenPipeError:
            self._let_go()

    def _let_go(self) -> None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())


class Commands(Group):
    """The command group: help from the table above, modules only when they are called."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, entry in COMMANDS.items():
            self.add_command(TyperCommand(name=name, help=entry.help, callback=None), name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find a command by its name and import its module."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, load(name) if name in COMMANDS and command is not None else command, rest


def load(name: str) -> Any:
    """Import a registered command and make it ready to be called."""
    entry = COMMANDS[name]
    found = getattr(import_module(entry.module), entry.attribute)
    if isinstance(found, typer.Typer):
        command = typer.main.get_command(found)
        command.name = name
        command.help = command.help or entry.help
        return command
    single = typer.Typer(add_completion=False, rich_markup_mode=None)
    single.command(name, cls=Command)(found)
    return typer.main.get_command(single)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def native() -> bool:
    """Whether the native fast path serves; without it the pure one does."""
    return choose().module is not None


def _version(wanted: bool) -> None:
    if wanted:
        path = "native" if native() else f"pure ({choose().why})"
        typer.echo(f"geodns {distribution_version('geodns')}, fast path: {path}")
        raise typer.Exit


@app.callback(epilog="Example: geodns explain kickasstorrents.to --from IT")
def geodns(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_version,
            is_eager=True,
            help="Print the version, and which fast path serves.",
        ),
    ] = False,
) -> None:
    """A DNS resolver that knows where its client is, and applies only the orders of that place.

    Exit codes: 0 done; 1 findings, or a negative answer; 2 usage or bad input.
    """


def run() -> None:
    """Run the program on sys.argv and exit; errors become lines on stderr, never a traceback."""
    # A terminal that cannot show a letter gets its escape instead of an error.
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(errors="backslashreplace")
    if isinstance(plain := sys.stdout, io.TextIOWrapper):
        encoding, by_line = plain.encoding, plain.line_buffering
        sys.stdout = Output(plain.detach(), encoding, "backslashreplace", line_buffering=by_line)
    sys.exit(call(sys.argv[1:]))


def call(arguments: list[str]) -> int:
    """Run one command line and return its exit code."""
    try:
        if os.environ.get("GEODNS_REQUIRE_NATIVE") == "1":
            choose_as_required()
        code = app(args=arguments, prog_name="geodns", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except GeodnsError as error:
        return _complain(error)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _complain(GeodnsError(f"{where}{error.strerror or error}"))
    except Exception as error:
        if hasattr(error, "format_message"):
            return _misused(error)
        if os.environ.get("GEODNS_TRACEBACK") == "1":
            traceback.print_exc()
        what = f"internal error: {type(error).__name__}: {error}"
        return _complain(
            GeodnsError(f"{what}; please report it with what GEODNS_TRACEBACK=1 shows")
        )


def _misused(error: Any) -> int:
    """Complain of what Typer says of a command line, in the style of our own errors."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return 2
    told = error.format_message().removesuffix(".")
    path = error.ctx.command_path if getattr(error, "ctx", None) is not None else "geodns"
    return _complain(GeodnsError(f"{told[:1].lower()}{told[1:]} ({path} --help shows how)"))


def _complain(error: GeodnsError) -> int:
    from geodns.console.out import complain

    complain(error)
    return error.exit_code
