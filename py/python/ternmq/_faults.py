"""What a test lets go wrong between a broker and its clients."""

import time
from collections.abc import Iterable
from types import TracebackType
from typing import Literal, Self

from ._checks import at_least, error_code, instance_of, seconds
from ._ternmq import RunningBroker
from .errors import ForkError, MqttTimeoutError
from .reasons import ReasonCode

__all__ = ["Fault"]

Way = Literal["in", "out"] | None
Packets = str | Iterable[str] | None

# How long one thread waits for a coroutine.
_SLICE = 0.05

_NAMES = (
    "CONNECT CONNACK PUBLISH PUBACK PUBREC PUBREL PUBCOMP SUBSCRIBE SUBACK UNSUBSCRIBE UNSUBACK "
    "PINGREQ PINGRESP DISCONNECT AUTH"
)
_PACKETS = {name: number for number, name in enumerate(_NAMES.split(), 1)}


class Fault:
    """Something that goes wrong until it is lifted, or has happened as often as it was to. As a context
    manager it is lifted at the end of the block. Made by the methods of `Broker`."""

    def __init__(self, running: RunningBroker, number: int) -> None:
        self._running, self._number = running, number

    @property
    def hits(self) -> int:
        """How often it has happened; 0 after it was lifted, or when its broker is gone."""
        return self._running.hits(self._number) or 0

    def wait(self, hits: int = 1, timeout: float | None = 5.0) -> None:
        """Waits until it has happened so often. Raises MqttTimeoutError when it has not in that time, and
        at once when it is lifted. In a coroutine use `wait_async`."""
        instance_of(int, hits=hits)
        at_least(0, hits=hits)
        if not self._running.wait_for_hits(self._number, hits, seconds(timeout)):
            raise MqttTimeoutError(f"the fault has happened {self.hits} times instead of {hits}")

    async def wait_async(self, hits: int = 1, timeout: float | None = 5.0) -> None:
        """The same without blocking the event loop."""
        from asyncio import to_thread

        instance_of(int, hits=hits)
        at_least(0, hits=hits)
        left = seconds(timeout)
        until = None if left is None else time.monotonic() + left
        while True:
            left = _SLICE if until is None else min(until - time.monotonic(), _SLICE)
            # In slices, so that no thread stays behind for long when this is cancelled.
            if await to_thread(self._running.wait_for_hits, self._number, hits, left):
                return
            if left < _SLICE or self._running.hits(self._number) is None:
                raise MqttTimeoutError(f"the fault has happened {self.hits} times instead of {hits}")

    def lift(self) -> None:
        """Ends it. What it has held or delayed goes on at once."""
        self._running.lift(self._number)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.lift()
        except ForkError:
            pass  # in a forked process: it goes on in the one that has forked


class Faults:
    """The part of `Broker` that lets things go wrong."""

    def _started(self) -> RunningBroker:
        raise NotImplementedError

    def cut(self, client: str | None = None) -> int:
        """Ends the connection of a client, or all, without a DISCONNECT. Returns how many there were. Its
        session stays, and its will is published."""
        return self._started().strike(client, False)

    def cut_after(
        self,
        packet: Packets,
        client: str | None = None,
        *,
        nth: int = 1,
        way: Way = None,
        times: int | None = 1,
    ) -> Fault:
        """Ends a connection right after a packet, which still arrives; the answer to it does not.
        `cut_after("PUBACK", nth=3)`: after the third PUBACK from now on.

        `packet`: a name of the standard, such as "PUBLISH", several of them, or None for any. `client`:
        a client identifier, None for all. `way`: "in" from the client, "out" to it, None for both.
        `nth`: it begins with that one. `times`: for so many packets, None until it is lifted.
        """
        return self._inject("cut after", client, packet, nth, way, times)

    def cut_before(
        self,
        packet: Packets,
        client: str | None = None,
        *,
        nth: int = 1,
        way: Way = None,
        times: int | None = 1,
    ) -> Fault:
        """The same right before it: it does not arrive."""
        return self._inject("cut before", client, packet, nth, way, times)

    def drop(
        self,
        packet: Packets,
        client: str | None = None,
        *,
        nth: int = 1,
        way: Way = None,
        times: int | None = None,
    ) -> Fault:
        """Lets packets get lost, and what follows them arrive."""
        return self._inject("drop", client, packet, nth, way, times)

    def drop_acks(self, times: int | None = None, client: str | None = None) -> Fault:
        """Lets acknowledgements of what clients publish get lost: so many, or all until it is lifted."""
        return self.drop(("PUBACK", "PUBREC", "PUBCOMP"), client, way="out", times=times)

    def delay(
        self,
        ms: float,
        client: str | None = None,
        *,
        packet: Packets = None,
        nth: int = 1,
        way: Way = None,
        times: int | None = None,
    ) -> Fault:
        """Lets packets arrive so many milliseconds late, by the broker's clock, and what follows them not
        before them."""
        at_least(0, ms=ms)
        return self._inject("delay", client, packet, nth, way, times, ms / 1000)

    def pause(
        self,
        client: str | None = None,
        *,
        packet: Packets = None,
        nth: int = 1,
        way: Way = None,
    ) -> Fault:
        """Lets packets wait, and all that follows them, until the fault is lifted. What does not fit into
        1 MiB waits with the sender."""
        return self._inject("hold", client, packet, nth, way, None)

    def corrupt(
        self,
        packet: Packets,
        client: str | None = None,
        *,
        at: int | None = None,
        mask: int = 0xFF,
        nth: int = 1,
        way: Way = None,
        times: int | None = 1,
    ) -> Fault:
        """Damages packets: the bits of `mask` in the byte at `at` are turned over, in the last byte if there
        are fewer. Without `at` the first byte becomes 0, with which no packet begins."""
        if at is None:
            return self._inject("malform", client, packet, nth, way, times)
        instance_of(int, at=at, mask=mask)
        if at < 0:
            raise ValueError(f"at must not be negative, got {at}")
        if not 1 <= mask <= 0xFF:
            raise ValueError(f"mask must be 1 to 255, got {mask}")
        return self._inject("corrupt", client, packet, nth, way, times, at, mask)

    def half_open(self, client: str | None = None) -> int:
        """From now on nothing comes through the connections that a client, or any, has: no packet, and not
        the end of either side. What is left is a peer behind a cable that was pulled. Returns how many
        there were. New connections are not affected."""
        return self._started().strike(client, True)

    def half_open_after(
        self,
        packet: Packets,
        client: str | None = None,
        *,
        nth: int = 1,
        way: Way = None,
        times: int | None = 1,
    ) -> Fault:
        """The same as soon as a packet comes, which is the first to get lost."""
        return self._inject("vanish", client, packet, nth, way, times)

    def refuse_next(
        self, reason: int = ReasonCode.NOT_AUTHORIZED, client: str | None = None, times: int | None = 1
    ) -> Fault:
        """Refuses the next CONNECT, or more, with this reason code. Before MQTT 5.0 clients get the return
        code that is nearest."""
        error_code(reason=reason)
        return self._inject("refuse", client, None, 1, None, times, reason)

    def lift_faults(self) -> None:
        """Ends all faults, and closes connections that are half open and that the broker has given up."""
        self._started().lift(None)

    def _inject(
        self,
        harm: str,
        client: str | None,
        packets: Packets,
        nth: int,
        way: Way,
        times: int | None,
        number: float = 0,
        mask: int = 0,
    ) -> Fault:
        instance_of(int, nth=nth)
        instance_of(int | None, times=times)
        instance_of(str | None, client=client, way=way)
        at_least(1, nth=nth, times=1 if times is None else times)
        numbers = _numbers(packets)
        running = self._started()
        what = (harm, float(number), mask)
        return Fault(running, running.inject(client, way, numbers, nth - 1, times, what))


def _numbers(packets: Packets) -> list[int]:
    instance_of(str | Iterable | None, packet=packets)
    names = [packets] if isinstance(packets, str) else list(packets or ())
    for name in names:
        instance_of(str, packet=name)
    try:
        return [_PACKETS[name.upper()] for name in names]
    except KeyError as error:
        raise ValueError(f"packet must be one of {_NAMES}, not {error.args[0]}") from None
