from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from geodns import shipped

ROOT = Path(__file__).parent.parent
SOURCES = (
    "geodns",
    "data",
    "orders",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "MANIFEST.in",
    "setup.py",
)


def run(command: list[str], **options: object) -> str:
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        **options,  # type: ignore[call-overload]
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


def test_the_checkout_has_its_database_with_its_licence_and_its_orders() -> None:
    assert shipped.data() == ROOT / "data"
    assert shipped.orders() == ROOT / "orders"
    assert list(shipped.data().glob("*.mmdb"))
    assert "Number Resource Organization" in (shipped.data() / "NRO_LICENSE").read_text("utf-8")


@pytest.mark.process
def test_an_installed_wheel_has_them_too(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.so", "*.c")
            shutil.copytree(ROOT / name, source / name, ignore=ignored)
        elif (ROOT / name).exists():
            shutil.copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    built = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), "."]
    run(built, cwd=source)
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    run([*pip, "install", "--no-deps", "--target", str(site), str(wheel)])
    assert sorted(path.name for path in site.iterdir() if "dist-info" not in path.name) == [
        "bin",
        "geodns",
    ]
    for order in (ROOT / "orders").rglob("*.toml"):
        assert (site / "geodns" / "_shipped" / order.relative_to(ROOT)).is_file()
    empty = tmp_path / "empty"
    empty.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(site)}
    program = [sys.executable, "-P", "-m", "geodns"]
    out = run(
        [*program, "explain", "kickasstorrents.to", "--from", "IT", "--json"],
        cwd=empty,
        env=environment,
    )
    assert json.loads(out)["ruling"] == "block"
    listed = json.loads(run([*program, "geoip", "info", "--json"], cwd=empty, env=environment))
    assert str(site) in json.dumps(listed)
