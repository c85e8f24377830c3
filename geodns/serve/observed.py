"""What the running server shows of itself: to ``geodns status``, and over HTTP by choice."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from geodns.metrics.health import Health, Phase
from geodns.model.endpoint import join_endpoint, parse_endpoint
from geodns.serve.book import Book
from geodns.serve.page import BlockPage
from geodns.serve.proving import Proving
from geodns.serve.reload import Reloader
from geodns.serve.sockets import Listener
from geodns.serve.status import describe, health
from geodns.serve.supervisor import Supervisor

if TYPE_CHECKING:
    from geodns.metrics.listener import Listener as Pages

log = logging.getLogger("geodns.metrics")


class Observed:
    """The parts of a server as they are seen from outside. phase is set by who runs it."""

    def __init__(
        self,
        reloader: Reloader,
        supervisor: Supervisor,
        listeners: Sequence[Listener],
        page: BlockPage | None = None,
        book: Book | None = None,
        proving: Proving | None = None,
    ) -> None:
        self.phase: Phase = "starting"
        self._reloader = reloader
        self._supervisor = supervisor
        self._listeners = listeners
        self._page = page
        self._book = book
        self._proving = proving
        self._pages: Pages | None = None

    def status(self) -> dict[str, Any]:
        """The document of ``geodns status``. The first load must be in force."""
        found = describe(self._reloader, self._supervisor, self._listeners, self._page)
        found["ledger"] = None if self._book is None else self._book.describe()
        found["unverified"] = {} if self._proving is None else dict(self._proving.unverified)
        found["metrics"] = None if self._pages is None else list(self._pages.address)
        return found

    async def open(self) -> None:
        """Listen for scrapes and health checks, if the settings say so. ServerError if not."""
        listen = self._reloader.settings.metrics.listen
        if listen is None:
            return
        # Only where it is wanted: it takes memory.
        from geodns.metrics.exposition import make_pages
        from geodns.metrics.listener import Listener as Pages

        pages = make_pages(self._scraped, lambda: self._reloader.settings.metrics.orders, self._how)
        self._pages = Pages(*parse_endpoint(listen, None), pages)
        await self._pages.open()
        where = join_endpoint(*self._pages.address)
        log.info("metrics on http://%s/metrics; /healthz and /readyz there too", where)

    async def close(self) -> None:
        """Listen no more."""
        if self._pages is not None:
            await self._pages.close()

    def _scraped(self) -> dict[str, Any] | None:
        return None if self.phase == "starting" else self.status()

    def _how(self) -> Health:
        return health(self._reloader, self._supervisor, self.phase)
