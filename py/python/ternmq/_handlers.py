"""Functions that are called with messages, for the asyncio client."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from ._core import Core, log
from .errors import MqttError

if TYPE_CHECKING:
    from ._subscription import Subscription
    from ._ternmq import Message

Handler = Callable[["Message"], Awaitable[object] | object]


class Handlers:
    """The handlers of a client, each with a subscription and a task of its own."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._waiting: list[tuple[Subscription, Handler]] = []
        self._begun = False

    def add(self, subscription: Subscription, handler: Handler) -> None:
        """Serves it: at once, or when the client connects."""
        if self._begun:
            self._core.in_background(self._subscribe_and_serve(subscription, handler))
        else:
            self._waiting.append((subscription, handler))

    def begin(self) -> None:
        """The client has begun to connect."""
        self._begun = True
        waiting, self._waiting = self._waiting, []
        for subscription, handler in waiting:
            self.add(subscription, handler)

    async def subscribe(self) -> None:
        """Subscribes for the handlers that there are; raises what the server says against that."""
        waiting, self._waiting = self._waiting, []
        self._begun = True
        for subscription, handler in waiting:
            await self.start(subscription, handler)

    async def start(self, subscription: Subscription, handler: Handler) -> None:
        """Subscribes, and serves it from then on."""
        await subscription
        self._core.in_background(self._serve(subscription, handler))

    async def _subscribe_and_serve(self, subscription: Subscription, handler: Handler) -> None:
        try:
            await subscription
        except (MqttError, ValueError) as error:  # perhaps it needs MQTT 5
            log.error("%s: handler %s: %s", self._core.address, _name(handler), error)
        else:
            await self._serve(subscription, handler)

    async def _serve(self, subscription: Subscription, handler: Handler) -> None:
        messages = aiter(subscription)
        while True:
            try:
                message = await anext(messages)
            except StopAsyncIteration:
                return
            except MqttError as error:
                log.error("%s: handler %s: %s", self._core.address, _name(handler), error)
                return
            try:
                await result_of(handler(message))
            except (SystemExit, KeyboardInterrupt, GeneratorExit):
                raise  # out of the loop, as from any task of asyncio; or the task is thrown away
            except BaseException:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise  # the client ends; else it was something that the handler had awaited
                log.exception(
                    "%s: handler %s, message to %s",
                    self._core.address, _name(handler), message.topic,
                )


async def result_of(answer: Awaitable[object] | object) -> object:
    """What a function has returned, whether it is an `async` one or not."""
    return await answer if inspect.isawaitable(answer) else answer


def _name(handler: Handler) -> str:
    return getattr(handler, "__qualname__", None) or repr(handler)
