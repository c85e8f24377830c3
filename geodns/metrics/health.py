"""Whether the server is alive, and whether it is ready: what load balancers act on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

Phase = Literal["starting", "serving", "draining"]


class Worker(NamedTuple):
    """serves: it runs, has a snapshot, and gave a sign of life lately. current: and it is
    the snapshot in force."""

    serves: bool
    current: bool


class Health(NamedTuple):
    """What the server is doing, and each of its workers."""

    phase: Phase
    workers: Sequence[Worker] = ()

    def alive(self) -> tuple[bool, dict[str, Any]]:
        """Whether a restart would not help: at least one worker serves, or will in a moment."""
        serving = sum(worker.serves for worker in self.workers)
        found = {"phase": self.phase, "workers": len(self.workers), "serving": serving}
        if self.phase != "serving" or serving:
            return True, {"status": "alive", **found}
        return False, {"status": "failing", "reason": "no worker serves", **found}

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Whether queries should be sent here: every worker has what is in force."""
        current = sum(worker.current for worker in self.workers)
        found = {"phase": self.phase, "workers": len(self.workers), "current": current}
        if self.phase != "serving":
            return False, {"status": "not ready", "reason": f"the server is {self.phase}", **found}
        if current < len(self.workers):
            missing = [str(at) for at, each in enumerate(self.workers) if not each.current]
            reason = f"worker {', '.join(missing)} does not have in force what it should"
            return False, {"status": "not ready", "reason": reason, **found}
        return True, {"status": "ready", **found}
