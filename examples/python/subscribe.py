"""Prints a number of messages as they arrive, then ends.

Usage: subscribe.py URI FILTER COUNT
"""

import asyncio

import ternmq
from arguments import arguments


async def main() -> None:
    uri, filter, count = arguments("URI FILTER COUNT")
    async with ternmq.Client(uri) as client, client.subscribe(filter, qos=1) as messages:
        print(f"subscribed to {filter}", flush=True)
        left = int(count)
        async for message in messages:
            print(f"{message.topic}: {message.payload.decode()}", flush=True)
            left -= 1
            if left == 0:
                break


asyncio.run(main())
