"""A client ends without a DISCONNECT, and the server publishes its will.

Usage: last_will.py URI
"""

import asyncio
import os
import sys

import ternmq
from arguments import arguments

TOPIC = "example/status"


async def live_and_vanish(uri: str) -> None:
    will = ternmq.Will(TOPIC, "gone without a word", qos=1)
    await ternmq.Client(uri, will=will).connect()
    os._exit(0)  # no DISCONNECT: the operating system closes the connection


async def main() -> None:
    (uri,) = arguments("URI")
    if "LAST_WILL_OF" in os.environ:
        await live_and_vanish(uri)
    async with ternmq.Client(uri) as watcher, watcher.subscribe(TOPIC, qos=1) as wills:
        environment = os.environ | {"LAST_WILL_OF": uri}
        program = await asyncio.create_subprocess_exec(
            sys.executable, __file__, uri, env=environment
        )
        await program.wait()
        will = await wills.get(timeout=10)
        print(f"last will: {will.payload.decode()}")


asyncio.run(main())
