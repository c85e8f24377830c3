from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from geodns import shipped
from geodns.cli import main
from geodns.errors import Fault, SettingsError
from geodns.fastpath import choice


def program(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "geodns", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=60,
        check=False,
    )


def test_help_lists_every_command_without_importing_one() -> None:
    done = program("--help")
    assert done.returncode == 0
    for name in main.COMMANDS:
        assert f"  {name} " in done.stdout
    assert "Example: geodns" in done.stdout
    code = (
        "import sys; from geodns.cli.main import call; call(['--help']);"
        "sys.exit(bool({'geodns.cli.serve', 'pydantic', 'dnslib', 'geoip2'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


@pytest.mark.parametrize("name", list(main.COMMANDS))
def test_every_command_has_help_with_an_example_a_config_and_json(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.call([name, "--help"]) == 0
    shown = capsys.readouterr().out
    if "COMMAND [ARGS]" not in shown:
        assert_complete(name, shown)
        return
    listed = shown.partition("Commands:")[2].splitlines()
    commands = [line.split()[0] for line in listed if line.startswith("  ") and line[2] != " "]
    assert len(commands) > 1
    for command in (one for one in commands if one != "Example:"):
        assert main.call([name, command, "--help"]) == 0
        assert_complete(f"{name} {command}", capsys.readouterr().out)


def assert_complete(name: str, shown: str) -> None:
    words = " ".join(shown.split())
    assert "Example" in words, name
    assert f"geodns {name}" in words.partition("Example")[2], name
    assert "--json" in words, name
    assert "--config" in words or name == "orders schema", name


def test_version_says_which_path_serves() -> None:
    done = program("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("geodns 0.")
    assert ("native" if main.native() else "pure") in done.stdout


def test_version_says_that_the_pure_path_was_chosen() -> None:
    for required in ("", "1"):
        done = program("--version", GEODNS_PURE="1", GEODNS_REQUIRE_NATIVE=required)
        assert done.stdout.endswith("fast path: pure (GEODNS_PURE=1 chooses plain Python)\n")


def test_native_can_be_required() -> None:
    done = program("--version", GEODNS_REQUIRE_NATIVE="1")
    if main.native():
        assert done.returncode == 0
    else:
        assert done.returncode == 2
        assert "native fast path is not installed" in done.stderr


def test_serve_logs_which_path_serves(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr("geodns.serve.server.serve", lambda *_, **__: None)
    for there in (False, True):
        caplog.clear()
        chosen = choice.Choice(choice if there else None, "it is not installed")
        monkeypatch.setattr(choice, "choose", lambda chosen=chosen: chosen)
        assert main.call(["serve"]) == 0
        assert ("pure fast path serves" in caplog.text) is not there


def test_a_system_without_time_zones_will_do() -> None:
    done = program("orders", "check", str(shipped.orders()), PYTHONTZPATH="")
    assert done.returncode == 0, done.stderr


def test_unknown_commands_and_options_are_usage_errors(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.call(["explian", "x"]) == 2
    assert "Did you mean 'explain'" in capsys.readouterr().err
    assert main.call(["explain", "--nonsense"]) == 2
    assert main.call(["query"]) == 2


def test_errors_are_lines_and_never_tracebacks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(error: BaseException) -> int:
        def raising(**_: object) -> None:
            raise error

        monkeypatch.setattr(main, "app", raising)
        return main.call([])

    faults = SettingsError([Fault("first", "a.toml", 3, "x.y"), Fault("second")])
    assert fail(faults) == 2
    assert capsys.readouterr().err == "geodns: a.toml:3: x.y: first\ngeodns: second\n"
    assert fail(FileNotFoundError(2, "No such file or directory", "here")) == 2
    assert capsys.readouterr().err == "geodns: here: No such file or directory\n"
    assert fail(ZeroDivisionError("oops")) == 2
    shown = capsys.readouterr().err
    assert "internal error: ZeroDivisionError: oops" in shown
    assert "Traceback" not in shown
    assert fail(KeyboardInterrupt()) == 130


def test_usage_errors_look_like_all_others(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.call(["explain", "example.org"]) == 2
    shown = capsys.readouterr().err
    assert shown == "geodns: missing option '--from' (geodns explain --help shows how)\n"
    assert main.call(["geoip", "update", "--nonsense"]) == 2
    assert capsys.readouterr().err.startswith("geodns: no such option")


def test_help_shows_words_and_no_types(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("query", "explain"):
        assert main.call([command, "--help"]) == 0
        assert f"Usage: geodns {command} [OPTIONS] NAME [TYPE]\n" in capsys.readouterr().out
    for words in (["matrix"], ["demo"], ["orders"], ["geoip"], ["orders", "check"], ["serve"]):
        assert main.call([*words, "--help"]) == 0
        shown = capsys.readouterr().out
        assert not re.search(r"[<>{}]|[a-z,]\.\.\.$", shown, re.MULTILINE), shown


def test_a_reader_that_has_seen_enough_hides_no_exit_code(tmp_path: Path) -> None:
    bad = tmp_path / "IT" / "a.toml"
    bad.parent.mkdir()
    bad.write_text("id = ")
    for words, code in (
        ("orders list", 0),
        ("--help", 0),
        (f"orders check {bad}", 2),
        ("orders schema", 0),
    ):
        command = f"{sys.executable} -m geodns {words} | true; echo ${{PIPESTATUS[0]}}"
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
        assert done.stdout == f"{code}\n", (words, done.stderr)
        assert done.stderr == ""
