"""Connections with an `ssl.SSLContext` for the blocking client.

Its IO thread speaks TLS by itself and knows no contexts of Python. So Python makes those connections,
in a thread with an event loop, and carries the bytes between them and the IO thread.
"""

import asyncio
import socket
import threading
from typing import cast

from ._reach import Reach
from ._ternmq import Relay


class RelayThread:
    """Serves one client until it is stopped."""

    def __init__(self, reach: Reach) -> None:
        self.native = Relay()
        # Why the last connection could not be made.
        self.error: Exception | None = None
        self._reach = reach
        self._loop = asyncio.new_event_loop()
        self._serving: asyncio.Task[None] | None = None
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="ternmq-tls", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends all connections and the thread."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._cancel)
            self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            try:
                runner.run(self._serve())
            except asyncio.CancelledError:
                pass

    def _cancel(self) -> None:
        self._stopped = True
        if self._serving is not None:
            self._serving.cancel()

    async def _serve(self) -> None:
        self._serving = cast("asyncio.Task[None]", asyncio.current_task())
        descriptor = self.native.bell()
        assert descriptor is not None
        carrying: set[asyncio.Task[None]] = set()
        with socket.socket(fileno=descriptor) as bell:
            bell.setblocking(False)
            while not self._stopped and await self._loop.sock_recv(bell, 64):
                while (end := self.native.take()) is not None:
                    task = self._loop.create_task(self._carry(socket.socket(fileno=end)))
                    carrying.add(task)
                    task.add_done_callback(carrying.discard)

    async def _carry(self, inside: socket.socket) -> None:
        near, far = _End(), _End()
        near.other, far.other = far, near
        try:
            await self._reach.connect(far)
            await self._loop.create_connection(lambda: near, sock=inside)
            self.error = None
            await near.closed.wait()
        except Exception as error:
            self.error = error
        finally:
            far.close()
            inside.close()


class _End(asyncio.Protocol):
    """One end: what it reads the other one writes, no faster than that can."""

    other: "_End"

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._early: list[bytes] = []
        self.closed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        for data in self._early:
            self._transport.write(data)
        self._early.clear()

    def data_received(self, data: bytes) -> None:
        self.other.write(data)

    def pause_writing(self) -> None:
        if self.other._transport is not None:
            self.other._transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other._transport is not None:
            self.other._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()
        self.other.close()

    def write(self, data: bytes) -> None:
        if self._transport is None:
            self._early.append(data)
        else:
            self._transport.write(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
