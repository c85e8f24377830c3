"""What is wrong with the operator's input at the moment: shown by status, logged once."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from geodns.errors import Fault
from geodns.serve.record import MOST
from geodns.serve.tables import Signature, signature

log = logging.getLogger("geodns.reload")


class Faults:
    """The present faults by what they are about (``orders``, ``places``, ``settings``, ...)."""

    def __init__(self) -> None:
        self._shown: dict[str, tuple[Fault, ...]] = {}
        self._now: dict[str, tuple[Fault, ...]] = {}
        self._said: set[tuple[str, Fault, Signature]] = set()

    def all(self, less: str | None = None) -> tuple[Fault, ...]:
        """All that was wrong when it was last settled; less: but for what is about this."""
        shown = self._shown.items()
        return tuple(fault for about, faults in shown if about != less for fault in faults)

    def settle(self) -> None:
        """Show what was set: now that what was repaired is in force too, and say so."""
        if self._shown == self._now:
            return
        settled = []
        for about, faults in self._shown.items():
            still = {fault.file for fault in self._now.get(about, ())}
            settled += [fault for fault in faults if fault.file not in still]
        self._shown = dict(self._now)
        for fault in settled[:MOST]:
            log.info("settled: %s", fault)
        if len(settled) > MOST:
            log.info("settled: and %d more faults", len(settled) - MOST)

    def set(self, about: str, faults: Sequence[Fault] = (), seen: Signature = ()) -> None:
        """Replace the faults about one thing.

        Each is logged once for each edition of its file, however often it is found again.
        seen: what the files looked like, where the fault does not name one.
        """
        self._now[about] = tuple(faults)
        said = {key for key in self._said if key[0] != about}
        new = 0
        for fault in faults:
            edition = seen or (signature([Path(fault.file)]) if fault.file else ())
            key = (about, fault, edition)
            if key not in self._said:
                new += 1
                if new <= MOST:
                    log.error("%s", fault)
            said.add(key)
        if new > MOST:
            log.error("and %d more faults; geodns status shows all", new - MOST)
        self._said = said
