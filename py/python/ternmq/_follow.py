"""What happens to the connection of a blocking client, heard in a thread of its own."""

from __future__ import annotations

import atexit
import threading
import weakref
from logging import DEBUG, ERROR
from typing import TYPE_CHECKING, Any

from ._log import logger
from ._ternmq import BlockingClient, BlockingNews
from .errors import ConnectError, MqttError, MqttTimeoutError
from .values import Auth, State

if TYPE_CHECKING:
    from collections.abc import Callable

log = logger("client")

_CONTINUE, _RE_AUTHENTICATE = 0x18, 0x19

# A thread that waits outside of Python must not come back while the interpreter goes.
_all: weakref.WeakSet[Follower] = weakref.WeakSet()


class Follower:
    """Hears the news of one client: tells listeners, writes the log, answers for an `Auth`. It does not
    keep the client.

    What the application raises here is logged, SystemExit and KeyboardInterrupt too: in a thread they end
    nothing but that thread, and then nobody would hear the news."""

    def __init__(self, address: str, auth: Auth | None) -> None:
        self.listeners: list[Callable[[State], object]] = []
        # Why the client was ended from here.
        self.error: MqttError | None = None
        # Whether the first connection, or that there is none, was dealt with.
        self.settled = threading.Event()
        # Whoever waits for the first connection is told that there is none, and the log has no need to.
        self.raises = False
        self._address, self._auth = address, auth
        self._authenticated: threading.Event | None = None
        self._native: weakref.ref[BlockingClient] | None = None

    def begin(self, native: BlockingClient, news: BlockingNews) -> None:
        """Follows from now on."""
        self._native, self._news = weakref.ref(native), news
        self._thread = threading.Thread(target=self._run, name="ternmq-news", daemon=True)
        _all.add(self)
        self._thread.start()

    def stop(self) -> None:
        """Waits until all was told, or, when the client has not ended, ends that."""
        if self._native is not None and self._thread is not threading.current_thread():
            self._news.end()
            self._thread.join()

    def join(self) -> None:
        """Waits until all was told, once the client has ended."""
        if self._native is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def first_data(self) -> bytes | None:
        """What an authentication begins with."""
        return None if self._auth is None else self._exchange(self._auth, None)

    def authenticate(self, native: BlockingClient, timeout: float | None) -> None:
        """Runs the exchange on the connection that there is."""
        if self._auth is None:
            raise ValueError("auth: the client has none")
        self._authenticated = done = threading.Event()
        native.authenticate(_RE_AUTHENTICATE, self._exchange(self._auth, None))
        if not done.wait(timeout):
            raise MqttTimeoutError(f"no answer within {timeout} s")
        if self._authenticated is None:
            raise ConnectError("the connection ended before the answer came")
        self._authenticated = None

    def _run(self) -> None:
        while (news := self._news.next()) is not None:
            try:
                self._hear(*news)
                if news[0] in ("connected", "closed"):
                    self.settled.set()
            except BaseException as error:
                log.exception("%s: authentication", self._address)
                self.error = ConnectError(f"{self._address}: authentication failed: {error}")
                self.error.__cause__ = error
                self.settled.set()
                if (native := self._client()) is not None:
                    native.disconnect(0, None)

    def _client(self) -> BlockingClient | None:
        return None if self._native is None else self._native()

    def _hear(self, what: str, first: Any, second: Any = None) -> None:
        if what == "connected":
            self.raises = False
            self._on_connected(first, second)
        elif what == "lost":
            self._unanswered()
            log.warning("%s: %s; connecting again", self._address, first)
            self._tell(State("lost", False, first))
        elif what == "failed":
            log.warning("%s: %s", self._address, first)
        elif what == "closed":
            self._unanswered()
            error = self.error or first
            if error is None:
                log.info("%s: closed", self._address)
            else:
                level = DEBUG if self.raises else ERROR
                log.log(level, "%s: %s", self._address, error)
            self._tell(State("closed", False, error))
        elif what == "retry":
            data = self.first_data()
            if (native := self._client()) is not None:
                native.retry(data)
        elif what == "challenge":
            self._on_challenge(first, second.get("authentication_data"))

    def _on_connected(self, session_present: bool, properties: dict[str, Any]) -> None:
        data = properties.get("authentication_data")
        if self._auth is not None and data is not None:
            # The server's last word, by which it may have to prove itself.
            self._exchange(self._auth, data)
        log.info("%s: connected, session present: %s", self._address, session_present)
        self._tell(State("connected", session_present, None, properties))

    def _on_challenge(self, reason: int, data: bytes | None) -> None:
        assert self._auth is not None
        wanted = reason == _CONTINUE
        answer = self._exchange(self._auth, data) if wanted or data else None
        if not wanted:
            if self._authenticated is not None:
                self._authenticated.set()
        elif (native := self._client()) is not None:
            native.authenticate(_CONTINUE, answer)

    def _exchange(self, auth: Auth, data: bytes | None) -> bytes | None:
        answer = auth.exchange(data)
        if answer is not None and not isinstance(answer, bytes):
            kind = type(answer).__name__
            raise TypeError(f"exchange of auth returns bytes or None, not {kind}")
        return answer

    def _unanswered(self) -> None:
        waiting, self._authenticated = self._authenticated, None
        if waiting is not None:
            waiting.set()

    def _tell(self, state: State) -> None:
        for listener in list(self.listeners):
            try:
                listener(state)
            except BaseException:
                log.exception("%s: on_state of %r", self._address, state)


@atexit.register
def _stop_all() -> None:
    for follower in list(_all):
        follower.stop()
