"""Prints a number of messages as they arrive, then ends.

Usage: subscribe.py URL FILTER COUNT
"""

import asyncio
import sys

import ternmq


async def main(url: str, topic_filter: str, count: int) -> None:
    async with ternmq.Client(url) as client:
        async with client.subscribe(topic_filter, qos=1) as messages:
            print(f"subscribed to {topic_filter}", flush=True)
            for _ in range(count):
                message = await messages.get()
                print(f"{message.topic}: {message.payload.decode()}", flush=True)


if len(sys.argv) != 4:
    sys.exit("usage: subscribe.py URL FILTER COUNT")
asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
