"""The block page without a resolver: ``geodns blockpage``, for a host of its own.

It reads the same settings, orders and databases as a server would, with the same code, and
so keeps in step with the same files by itself. It keeps what it makes in ``blockpage`` inside the
state folder, so that it may run beside a server of the same settings.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import uvloop

from geodns.errors import Fault, GeodnsError, ServerError, SettingsError
from geodns.model.endpoint import join_endpoint
from geodns.orders.keep import LastGood
from geodns.serve.adopt import describe_sources, missing
from geodns.serve.control import lock_state
from geodns.serve.page import BlockPage, page_command
from geodns.serve.privileges import drop, find_account, forbid_more, give_state
from geodns.serve.reload import Reloader
from geodns.serve.sockets import open_streams
from geodns.serve.supervisor import Load
from geodns.serve.tables import Bar, no_bar
from geodns.settings import Settings

STATE = "blockpage"
"""Folder inside [server].state."""

log = logging.getLogger("geodns.blockpage")


async def run(
    settings: Settings, skip_bad_orders: bool, bar: Bar | None = None, *, as_json: bool = False
) -> None:
    """Serve the block page until SIGTERM or SIGINT. SIGHUP looks at all files anew.

    Raises GeodnsError if it cannot start, with nothing left running. Prints one line when
    the page answers; as_json: that line is a JSON document.
    """
    state = settings.server.state / STATE
    _check(settings, state, skip_bad_orders)
    account = find_account(settings.server.user, settings.server.group)
    log.info("%s", describe_sources(settings))
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        stack.callback(log.info, "stopped")
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, ending.set)
        sockets = open_streams(settings.blockpage.listen)
        for sock in sockets:
            stack.callback(sock.close)
        if account is not None:
            # The ports may take root. All that is made from here on is the account's own.
            give_state(settings.server.state, account)
            drop(account)
        stack.enter_context(lock_state(state))
        page = BlockPage(sockets, page_command(settings.log.format))
        reloader = Reloader(settings, skip_bad_orders=skip_bad_orders, state=state)
        loop.add_signal_handler(signal.SIGHUP, lambda: reloader.wake("SIGHUP"))
        stack.push_async_callback(page.drain)

        async def distribute(load: Load) -> bool:
            page.load(load)
            return True

        async def no_workers() -> None:
            return

        async def live() -> None:
            await reloader.locate(bar or no_bar)
            page.load(await reloader.prepare(bar or no_bar))
            await page.ready.wait()
            _say_ready(page, reloader, as_json=as_json)
            for apis in (False, True):
                feeding = asyncio.create_task(reloader.feeding(apis=apis).run())
                stack.push_async_callback(_cancel, feeding)
            await reloader.run(distribute, no_workers)

        living = asyncio.create_task(live())
        waiting = asyncio.create_task(ending.wait())
        try:
            await asyncio.wait((living, waiting), return_when=asyncio.FIRST_COMPLETED)
            if living.done():
                living.result()
                raise ServerError("reloading ended unexpectedly")
        finally:
            for task in (waiting, living):
                await _cancel(task)


async def _cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError, GeodnsError, OSError):
        await task


def _check(settings: Settings, state: Path, skip_bad_orders: bool) -> None:
    """Raise SettingsError with all that is not there, before anything is begun."""

    def stands_in(folder: Path) -> bool:
        if skip_bad_orders:
            return True
        kept = LastGood(state / "last-good").all()
        return any(Path(one.path).is_relative_to(folder.absolute()) for one in kept)

    faults = missing(settings, stands_in, forwards=False)
    if not settings.blockpage.listen:
        told = "no address for the block page; for example: listen = ['192.0.2.1:80']"
        where = str(settings.path) if settings.path else None
        faults = (Fault(told, where, None, "blockpage.listen"), *faults)
    if faults:
        raise SettingsError(faults)


def _say_ready(page: BlockPage, reloader: Reloader, *, as_json: bool) -> None:
    listen = page.describe()["listen"]
    orders, digest = len(reloader.snapshot.in_force), reloader.load.digest
    if as_json:
        line = json.dumps({"ready": listen, "orders": orders, "digest": digest})
    else:
        where = ", ".join(f"http://{join_endpoint(host, port)}" for host, port in listen)
        told = f"{orders} order{'s' * (orders != 1)}, digest {digest[:12]}"
        line = f"geodns block page ready: {where}, {told}"
    with suppress(OSError, ValueError):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def serve(
    settings: Settings, skip_bad_orders: bool, bar: Bar | None = None, *, as_json: bool = False
) -> None:
    """Run the page on an event loop of its own, in this thread, until it is told to stop."""
    forbid_more()
    uvloop.run(run(settings, skip_bad_orders, bar, as_json=as_json))
