"""A worker that acknowledges loads (or does not), for the supervisor's tests. No sockets."""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--control", type=int)
    for option in ("udp", "tcp"):
        parser.add_argument(f"--{option}")
    chosen = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for text in (chosen.udp + ";" + chosen.tcp).replace(";", ",").split(","):
        os.fstat(int(text))  # it was inherited
    control = socket.socket(fileno=chosen.control)
    lines = control.makefile("rb")

    def say(**message: object) -> None:
        control.sendall(json.dumps(message).encode() + b"\n")

    slow = False
    for line in lines:
        message = json.loads(line)
        if "drain" in message:
            if slow:
                time.sleep(60)
            say(counters={"queries": 7, "tcp/open": 3})
            sys.exit(0)
        load = message["load"]
        behaviour = load["settings"].get(str(load["worker"]), "")
        slow = behaviour == "drain slowly"
        if behaviour == "refuse":
            say(refused="no good", generation=load["generation"])
        elif behaviour == "die":
            sys.exit(5)
        elif behaviour == "hang once" and not Path(load["settings"]["marker"]).exists():
            Path(load["settings"]["marker"]).touch()
            time.sleep(60)
        else:
            say(counters={"queries": 1, "tcp/open": 1})
            say(loaded=load["snapshot"], generation=load["generation"])


main()
