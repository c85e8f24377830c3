"""The parent process: it opens the sockets, starts the workers, keeps all of it up to date."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from geodns.errors import GeodnsError, ServerError, SettingsError
from geodns.model.endpoint import join_endpoint
from geodns.orders.keep import LastGood
from geodns.serve.adopt import describe_sources, missing
from geodns.serve.children import worker_command
from geodns.serve.control import Control, lock_state
from geodns.serve.feeding import settled
from geodns.serve.herald import Herald
from geodns.serve.observed import Observed
from geodns.serve.page import BlockPage, page_command
from geodns.serve.privileges import drop, find_account, forbid_more, give_state
from geodns.serve.proving import Proving
from geodns.serve.reload import Reloader
from geodns.serve.secrets import keep_rolling, roll_secrets
from geodns.serve.sockets import Listener, open_listeners, open_streams
from geodns.serve.supervisor import Load, Supervisor
from geodns.serve.tables import Bar, no_bar
from geodns.serve.witness import Witness
from geodns.settings import Settings

Address = tuple[str, int]
Ready = Callable[[list[Address]], None]

log = logging.getLogger("geodns.server")


async def run(
    settings: Settings,
    skip_bad_orders: bool = False,
    ready: Ready | None = None,
    stop: asyncio.Event | None = None,
    bar: Bar | None = None,
    *,
    as_json: bool = False,
) -> None:
    """Serve until SIGTERM or SIGINT, or until ``stop`` is set; then drain.

    Raises GeodnsError if it cannot start, with nothing left running. When every worker has
    the first load in force it calls ``ready`` with the (address, port) pairs listened on, UDP
    and TCP alike; without ``ready`` it prints the ready line to stdout. SIGHUP looks at all
    files anew. bar: shows progress at the start. as_json: the ready line is a JSON document.
    """
    _check(settings, skip_bad_orders)
    log.info("%s", describe_sources(settings))
    server = settings.server
    account = find_account(server.user, server.group)
    ending = stop or asyncio.Event()
    async with AsyncExitStack() as stack:
        stack.callback(log.info, "stopped")
        hangups = _take_signals(stack, ending)
        workers = settings.worker_count()
        if account is None:
            stack.enter_context(lock_state(server.state))
            listeners, page = _listen(stack, settings, workers)
        else:
            # The ports may take root. All that is made from here on is the account's own.
            listeners, page = _listen(stack, settings, workers)
            give_state(server.state, account)
            drop(account)
            stack.enter_context(lock_state(server.state))
        roll_secrets(server.state)
        witness = Witness(settings)
        proving = Proving(listeners, wanted=settings.ledger.probe)
        reloader = Reloader(
            settings, skip_bad_orders=skip_bad_orders, witness=witness, proxy=proving.source
        )
        supervisor = Supervisor(listeners, workers, worker_command(settings.log.format))
        observed = Observed(reloader, supervisor, listeners, page, witness.book, proving)
        stack.push_async_callback(observed.close)
        await observed.open()
        await witness.open()
        stack.push_async_callback(witness.close)
        starting = asyncio.create_task(_start(reloader, supervisor, bar or no_bar))
        if not await _unless(ending, starting):
            return
        control = Control(settings.server.state, {"status": observed.status})
        stack.push_async_callback(witness.last_look, supervisor)
        stack.push_async_callback(supervisor.drain)
        if page is not None:
            stack.push_async_callback(page.drain)
            page.load(reloader.load)

        async def distribute(load: Load) -> bool:
            everywhere = await supervisor.distribute(load)
            if page is not None:
                page.load(load)
            return everywhere

        await control.open()
        stack.push_async_callback(control.close)
        updating = asyncio.create_task(reloader.run(distribute, supervisor.roll))
        stack.push_async_callback(_cancel, updating)
        witnessing = asyncio.create_task(witness.run(reloader, supervisor))
        stack.push_async_callback(_cancel, witnessing)
        asking = asyncio.create_task(proving.run(witness, reloader))
        stack.push_async_callback(_cancel, asking)
        for apis in (False, True):
            kept_up = reloader.feeding(apis=apis).run(settled(reloader, supervisor))
            stack.push_async_callback(_cancel, asyncio.create_task(kept_up))
        noticing = asyncio.create_task(reloader.notices().run())
        stack.push_async_callback(_cancel, noticing)
        rolling = asyncio.create_task(keep_rolling(settings.server.state))
        stack.push_async_callback(_cancel, rolling)
        herald = Herald(reloader, supervisor)
        heralding = asyncio.create_task(herald.run())
        stack.push_async_callback(_cancel, heralding)

        def look_anew() -> None:
            herald.reloading()
            reloader.wake("SIGHUP")

        observed.phase = "serving"
        herald.ready()
        hangups.on_hangup(look_anew)
        if ready is None:
            _say_ready(listeners, supervisor, reloader, as_json=as_json)
        else:
            ready([(listener.address.host, listener.address.port) for listener in listeners])
        if await _unless(ending, updating):
            raise ServerError("reloading ended unexpectedly")
        observed.phase = "draining"
        log.info("draining")
        herald.stopping()


def _listen(
    stack: AsyncExitStack, settings: Settings, workers: int
) -> tuple[tuple[Listener, ...], BlockPage | None]:
    """Open all ports that may take root."""
    listeners = open_listeners(settings.server.listen, workers)
    for listener in listeners:
        stack.callback(listener.close)
    return listeners, _open_page(stack, settings)


def _open_page(stack: AsyncExitStack, settings: Settings) -> BlockPage | None:
    """The block page on its sockets, where it is wanted; not started yet."""
    if not settings.blockpage.listen:
        return None
    sockets = open_streams(settings.blockpage.listen)
    for sock in sockets:
        stack.callback(sock.close)
        log.info("block page: http://%s", join_endpoint(*sock.getsockname()[:2]))
    return BlockPage(sockets, page_command(settings.log.format))


def _check(settings: Settings, skip_bad_orders: bool) -> None:
    """Raise SettingsError with all that is not there, before anything is begun."""

    def stands_in(folder: Path) -> bool:
        if skip_bad_orders:
            return True
        kept = LastGood(settings.server.state / "last-good").all()
        return any(Path(one.path).is_relative_to(folder.absolute()) for one in kept)

    if faults := missing(settings, stands_in):
        raise SettingsError(faults)


async def _start(reloader: Reloader, supervisor: Supervisor, bar: Bar) -> None:
    await reloader.locate(bar)
    await supervisor.start(await reloader.prepare(bar))


async def _unless(ending: asyncio.Event, task: asyncio.Task[None]) -> bool:
    """Wait for a task; cancel it and return False if the end comes first."""
    waiting = asyncio.create_task(ending.wait())
    try:
        await asyncio.wait((waiting, task), return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
        if not task.done():
            await _cancel(task)
    if task.cancelled():
        return False
    task.result()
    return True


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError, GeodnsError):
        await task


@dataclass(slots=True)
class _Hangups:
    """SIGHUP, which may come before there is anything to reload."""

    act: Callable[[], None] | None = None
    pending: bool = field(default=False)

    def take(self) -> None:
        self.pending = self.act is None
        if self.act is not None:
            self.act()

    def on_hangup(self, act: Callable[[], None]) -> None:
        self.act = act
        if self.pending:
            self.take()


def _take_signals(stack: AsyncExitStack, ending: asyncio.Event) -> _Hangups:
    hangups = _Hangups()
    if threading.current_thread() is not threading.main_thread():
        return hangups
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _end, ending)
        stack.callback(loop.remove_signal_handler, number)
    loop.add_signal_handler(signal.SIGHUP, hangups.take)
    stack.callback(loop.remove_signal_handler, signal.SIGHUP)
    return hangups


def _end(ending: asyncio.Event) -> None:
    if ending.is_set():
        # Asked twice: whoever asks does not want to wait. Workers end with their pipes.
        os._exit(1)
    ending.set()


def _say_ready(
    listeners: tuple[Listener, ...],
    supervisor: Supervisor,
    reloader: Reloader,
    *,
    as_json: bool,
) -> None:
    workers, orders = len(supervisor.slots), len(reloader.snapshot.in_force)
    digest = reloader.load.digest
    if as_json:
        listen = [[each.address.host, each.address.port] for each in listeners]
        document = {"ready": listen, "workers": workers, "orders": orders, "digest": digest}
        line = json.dumps(document)
    else:
        where = ", ".join(f"{each.address} (udp, tcp)" for each in listeners)
        line = (
            f"geodns ready: {where}, {workers} worker{'s' * (workers != 1)},"
            f" {orders} order{'s' * (orders != 1)}, digest {digest[:12]}"
        )
    # Whoever started the server may not care for its output, or have gone away.
    with suppress(OSError, ValueError):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def serve(
    settings: Settings,
    skip_bad_orders: bool = False,
    bar: Bar | None = None,
    *,
    as_json: bool = False,
) -> None:
    """Run the server on an event loop of its own, in this thread, until it is told to stop."""
    forbid_more()
    uvloop.run(run(settings, skip_bad_orders, bar=bar, as_json=as_json))


@contextmanager
def serving(settings: Settings, skip_bad_orders: bool = False) -> Iterator[list[Address]]:
    """Run the very server in a thread while the block runs; for the demo and for tests.

    Yields the (address, port) pairs when it is ready. Raises what ``run`` raises at start.
    """
    started = threading.Event()
    addresses: list[Address] = []
    failure: list[BaseException] = []
    handle: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def ready(found: list[Address]) -> None:
        addresses.extend(found)
        started.set()

    async def body() -> None:
        stop = asyncio.Event()
        handle.append((asyncio.get_running_loop(), stop))
        await run(settings, skip_bad_orders, ready, stop)

    def thread() -> None:
        try:
            uvloop.run(body())
        except BaseException as error:
            failure.append(error)
        finally:
            started.set()

    running = threading.Thread(target=thread, name="geodns", daemon=True)
    running.start()
    started.wait()
    try:
        if failure:
            raise failure[0]
        yield addresses
    finally:
        if running.is_alive():
            loop, stop = handle[0]
            loop.call_soon_threadsafe(stop.set)
        running.join()
    if failure:
        raise failure[0]
