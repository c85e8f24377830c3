"""What this machine tells: cores, CPU time and memory of processes, free ports, C programs."""

from __future__ import annotations

import os
import platform
import re
import shutil
import socket
import subprocess
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


def pinned(command: list[str], *, load: bool = False) -> list[str]:
    """The command on one core: servers on the first, loads and the upstream on the last."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2 or shutil.which("taskset") is None:
        return command
    return ["taskset", "-c", str(cores[-1] if load else cores[0]), *command]


def free_port() -> int:
    """A loopback port that nobody listens on now, neither UDP nor TCP."""
    while True:
        with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            port = int(tcp.getsockname()[1])
            try:
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def family(pid: int) -> list[int]:
    """A process and all that it started, directly or not."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for each in found:
        found += children.get(each, [])
    return found


def cpu_seconds(pids: list[int]) -> float:
    """User and system time that processes have used so far.

    The scheduler's own sum for each thread, in nanoseconds; in ticks where it is not told.
    """
    total = 0.0
    for pid in pids:
        try:
            tasks = list(Path(f"/proc/{pid}/task").iterdir())
            total += sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
        except FileNotFoundError:
            total += _ticks(pid)
        except ProcessLookupError:
            continue
    return total


def _ticks(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICK


def memory_mib(pids: list[int]) -> tuple[float, float]:
    """Resident memory of processes in MiB: summed (RSS), and shared pages once (PSS)."""
    rss = pss = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        for key, value in re.findall(r"^(Rss|Pss):\s+(\d+)", text, re.MULTILINE):
            if key == "Rss":
                rss += int(value)
            else:
                pss += int(value)
    return rss / 1024, pss / 1024


def compile_c(name: str, folder: Path) -> Path | None:
    """Compile bench/NAME.c; None where there is no compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        return None
    program = folder / name
    source = Path(__file__).with_name(f"{name}.c")
    subprocess.run([compiler, "-O2", "-Wall", "-o", str(program), str(source)], check=True)
    return program


def description() -> str:
    """The machine in a few words."""
    text = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    total = re.search(r"^MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text(), re.MULTILINE)
    return (
        f"{model[1] if model else platform.machine()}, {os.cpu_count()} cores, "
        f"{int(total[1]) // 2**20 if total else '?'} GiB, {platform.system()} "
        f"{platform.release()}, Python {platform.python_version()}"
    )
