"""What lines of the log look like, in both forms."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from geodns import logs

log = logging.getLogger("geodns.reload")


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def start(form: logs.Format, level: logs.Level, *, process: logs.Process = "parent") -> None:
    """Start as a program does where nobody has logged yet: pytest has."""
    logging.getLogger().handlers.clear()
    logs.start(form, level, process=process)


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_text_has_time_and_zone_and_workers_say_who_they_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    start("text", "info")
    log.info("%d orders", 3, extra={"orders": 3})
    logs.change("text", "info", process="worker")
    log.warning("so so")
    parent, worker = said(capsys)
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}"
    assert re.fullmatch(stamp + " INFO 3 orders", parent)
    assert re.fullmatch(stamp + r" WARNING worker process \d+: so so", worker)


def test_json_is_one_document_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    start("json", "info", process="worker")
    log.info('%d "orders"\nin è force', 3, extra={"orders": 3, "peer": "192.0.2.1"})
    (line,) = said(capsys)
    found = json.loads(line)
    assert list(found) == ["time", "level", "logger", "event", "process", "pid", "orders"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", found["time"])
    assert found["level"] == "info"
    assert found["logger"] == "geodns.reload"
    assert found["event"] == '3 "orders"\nin è force'
    assert found["process"] == "worker"
    assert found["orders"] == 3


def test_json_has_tracebacks_inside_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    start("json", "info")
    try:
        raise RuntimeError("a bug")
    except RuntimeError:
        log.exception("oh")
    (line,) = said(capsys)
    found = json.loads(line)
    assert found["level"] == "error"
    assert "RuntimeError: a bug" in found["exception"]


def test_level_and_form_change_while_it_runs(capsys: pytest.CaptureFixture[str]) -> None:
    start("text", "error")
    log.warning("unheard")
    logs.change("json", "debug")
    log.debug("heard")
    (line,) = said(capsys)
    assert json.loads(line)["event"] == "heard"


def test_nothing_changes_for_a_program_that_logs_its_own_way() -> None:
    root = logging.getLogger()
    root.addHandler(logging.NullHandler())
    before = root.handlers[:], root.level
    logs.start("json", "debug")
    logs.change("json", "debug")
    assert (root.handlers, root.level) == before


def test_text_needs_no_structlog() -> None:
    code = (
        "import sys; from geodns import logs; logs.start('text', 'info', process='worker');"
        "sys.exit('structlog' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
