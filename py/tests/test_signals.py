"""Ctrl-C ends every wait of the blocking client, and is noticed in the wait itself."""

import asyncio
import signal
import sys

import pytest
from peer import CONNECT, PUBLISH, SUBSCRIBE, UNSUBSCRIBE, Connection, Peer

# It says before each try that it is about to wait, and is sent a signal then. One that comes a little too
# early, before the call of the native part, does not count, and it tries again. Without a look at signals
# in there that call goes on for ever.
PROGRAM = """
import linecache, os, signal, sys, traceback
from ternmq import MqttTimeoutError
from ternmq.blocking import Client

client = Client(sys.argv[1], timeout=None, connect_timeout=None, client_id="c")
if sys.argv[2] != "connect":
    client.connect()
if sys.argv[2] in ("next", "messages", "get", "unsubscribe"):
    subscription = client.subscribe("t")
if sys.argv[2] in ("drain", "token"):
    token = client.publish_nowait("t", b"", 1)
if sys.argv[2] == "disconnect":
    client.publish_nowait("t", bytes(32 << 20))  # more than the peer takes

WAITS = {
    "connect": lambda: Client(sys.argv[1], connect_timeout=None).connect(),
    "publish": lambda: client.publish("t", b"", 1),
    "token": lambda: token.wait(),
    "subscribe": lambda: client.subscribe("t"),
    "next": lambda: next(subscription),
    "messages": lambda: next(subscription.messages(600)),
    "get": lambda: subscription.get(),
    "drain": lambda: client.drain(),
    "request": lambda: client.request("t"),
    "unsubscribe": lambda: subscription.unsubscribe(),
    "filters": lambda: client.unsubscribe("t"),
    "wait_until": lambda: client.wait_until(False),
    "closed": lambda: client.closed(),
    "disconnect": lambda: client.disconnect(),
}

while True:
    try:
        os.write(1, b"waiting\\n")
        WAITS[sys.argv[2]]()
    except KeyboardInterrupt as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        if "_native." in last.line or "_client." in last.line or "_connected()." in last.line:
            break
signal.signal(signal.SIGINT, signal.SIG_IGN)
if sys.argv[2] == "disconnect":
    try:
        client.closed(0)  # else it was not the signal that has ended it
        os._exit(1)
    except MqttTimeoutError:
        pass
print("interrupted", flush=True)
os._exit(0)
"""


async def _mute(server: Connection, wait: str) -> None:
    """Answers up to the wait, and then nothing any more."""
    await server.accept()
    if wait in ("next", "messages", "get", "unsubscribe"):
        await server.grant(0)
    if wait == "disconnect":
        await asyncio.Event().wait()  # not read any more
    kind = {"publish": PUBLISH, "token": PUBLISH, "drain": PUBLISH, "subscribe": SUBSCRIBE,
            "request": SUBSCRIBE, "unsubscribe": UNSUBSCRIBE, "filters": UNSUBSCRIBE}.get(wait)
    if kind is not None:
        await server.expect(kind)


@pytest.mark.parametrize(
    "wait",
    ["connect", "publish", "token", "subscribe", "next", "messages", "get", "drain", "request",
     "unsubscribe", "filters", "wait_until", "closed", "disconnect"],
)
async def test_ctrl_c_ends_a_wait(peer: Peer, wait: str) -> None:
    command = (sys.executable, "-c", PROGRAM, peer.url, wait)
    program = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        playing = None
        if wait != "connect":
            playing = asyncio.create_task(_mute(await peer.client(), wait))
        assert program.stdout is not None
        async with asyncio.timeout(20):
            while (said := await program.stdout.readline()) == b"waiting\n":
                if wait == "connect":  # to begin takes longer than a signal
                    await (await peer.client()).expect(CONNECT)
                program.send_signal(signal.SIGINT)
            assert said == b"interrupted\n" and await program.wait() == 0
        if playing is not None:
            playing.cancel()
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()
