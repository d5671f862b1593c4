"""Ctrl-C ends every wait of the blocking client, and is noticed in the wait itself."""

import asyncio
import sys

import pytest
from peer import CONNECT, PUBLISH, SUBSCRIBE, UNSUBSCRIBE, Connection, Peer

# The signals come until one has ended the wait in the call of the native part. Without a look at signals
# there that call goes on for ever: one that comes a little too early, before it, does not count.
PROGRAM = """
import linecache, os, signal, sys, threading, time, traceback
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
    "connect": lambda: client.connect(),
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

def interrupt():
    while True:
        time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

started = False
while True:
    try:
        if not started:
            threading.Thread(target=interrupt, daemon=True).start()
            started = True
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
    if wait == "connect":
        await server.expect(CONNECT)
        return
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
        server = await peer.client()
        playing = asyncio.create_task(_mute(server, wait))
        async with asyncio.timeout(20):
            said, _ = await program.communicate()
        playing.cancel()
        assert said == b"interrupted\n" and program.returncode == 0
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()
