"""Publishes before there is a connection: the messages wait in the client until the server comes.
Start it first and a server later, or the other way round.

Usage: offline.py URI TOPIC TEXT
"""

import asyncio

import ternmq
from arguments import arguments

# Seconds that the server may take to come up.
PATIENCE = 60


async def main() -> None:
    uri, topic, text = arguments("URI TOPIC TEXT")
    client = ternmq.Client(uri, reconnect=ternmq.Backoff(0.1, 5, first_connect=True))
    client.open()
    texts = [f"{text} {n}" for n in (1, 2, 3)]
    waiting = [client.publish_nowait(topic, text, qos=1) for text in texts]
    print(f"published: {len(waiting)} messages", flush=True)
    async with asyncio.timeout(PATIENCE):
        for publishing, text in zip(waiting, texts, strict=True):
            await publishing
            print(f"delivered: {text}", flush=True)
    await client.disconnect()


asyncio.run(main())
