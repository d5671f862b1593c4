"""A broker inside the program, and two clients of it.

Usage: embedded_broker.py ADDRESS TEXT, where ADDRESS may have port 0 for a free one
"""

import asyncio

import ternmq
from arguments import arguments


async def main() -> None:
    address, text = arguments("ADDRESS TEXT")
    host, _, port = address.rpartition(":")
    async with (
        ternmq.Broker(int(port), host) as broker,
        ternmq.Client(broker.url) as here,
        ternmq.Client(broker.url) as there,
        here.subscribe("example/#", qos=1) as messages,
    ):
        await there.publish("example/greeting", text, qos=1)
        message = await messages.get(timeout=10)
        print(f"{message.topic}: {message.payload.decode()}")


asyncio.run(main())
