"""Publishes one message and waits until the server has it.

Usage: publish.py URI TOPIC TEXT
"""

import asyncio

import ternmq
from arguments import arguments


async def main() -> None:
    uri, topic, text = arguments("URI TOPIC TEXT")
    # An empty client identifier has the server choose one.
    async with ternmq.Client(uri) as client:
        await client.publish(topic, text, qos=1)
        print(f"delivered: {text}")


asyncio.run(main())
