"""Clients of other makes, used as their documentation says. All of them, and ours in `adapters`, play three
parts: `publish` and `receive` so many messages, with a mark at the first and the last, and `rtt`, round trips of
messages to oneself in ns."""

import asyncio
import threading
import time
from time import perf_counter_ns

HOST = "127.0.0.1"
TOPIC = "bench/room/21/temperature"
PATIENCE = 120


class Mark:
    """CPU time of this process when the measurement began and ended."""

    begun = ended = 0.0

    def ready(self):
        """There is a subscription: whoever publishes may begin."""
        print("ready", flush=True)

    def start(self):
        self.begun = time.process_time()

    def stop(self):
        self.ended = time.process_time()


class Backend:
    name = imports = ""

    def __init__(self, port, qos, size, window):
        self.port, self.qos, self.window = port, qos, window
        self.payload = b"x" * size


class AsyncBackend(Backend):
    """`apublish`, `areceive` and `artt` are coroutines."""

    loop = "asyncio"

    def run(self, work):
        if self.loop == "uvloop":
            import uvloop

            return uvloop.run(work)
        return asyncio.run(work)

    def publish(self, mark, n):
        self.run(self.apublish(mark, n))

    def receive(self, mark, n):
        self.run(self.areceive(mark, n))

    def rtt(self, n):
        return self.run(self.artt(n))

    async def _fan(self, one, n):
        """Awaits it n times, so many at a time as the window has."""

        async def some(count):
            for _ in range(count):
                await one()

        share, rest = divmod(n, self.window)
        await asyncio.gather(*(some(share + (at < rest)) for at in range(self.window)))


class Paho(Backend):
    name, imports = "paho", "paho.mqtt.client"

    def _connected(self, client_id):
        import paho.mqtt.client as mqtt

        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=client_id)
        client.max_inflight_messages_set(self.window)
        up = threading.Event()
        client.on_connect = lambda *_: up.set()
        client.connect(HOST, self.port)
        client.loop_start()
        assert up.wait(10), "not connected"
        return client

    def _subscribed(self, client_id, on_message):
        client = self._connected(client_id)
        done = threading.Event()
        client.on_message, client.on_subscribe = on_message, lambda *_: done.set()
        client.subscribe(TOPIC, self.qos)
        assert done.wait(10), "not subscribed"
        return client

    def publish(self, mark, n):
        client = self._connected("bench-publisher")
        done, left = threading.Event(), n

        def on_publish(*_):
            nonlocal left
            left -= 1
            if not left:
                done.set()

        client.on_publish = on_publish
        mark.start()
        for _ in range(n):
            client.publish(TOPIC, self.payload, self.qos)
        assert done.wait(PATIENCE), f"{left} are not complete"
        mark.stop()
        client.disconnect()
        client.loop_stop()

    def receive(self, mark, n):
        done, seen = threading.Event(), 0

        def on_message(_client, _data, message):
            nonlocal seen
            if not seen:
                mark.start()
            seen += 1
            if len(message.payload) and seen == n:
                mark.stop()
                done.set()

        client = self._subscribed("bench-receiver", on_message)
        mark.ready()
        assert done.wait(PATIENCE), f"{n - seen} are missing"
        client.disconnect()
        client.loop_stop()

    def rtt(self, n):
        back, took = threading.Event(), []
        client = self._subscribed("bench-round-trips", lambda *_: back.set())
        for _ in range(n):
            back.clear()
            begun = perf_counter_ns()
            client.publish(TOPIC, self.payload, self.qos)
            assert back.wait(10), "a message is missing"
            took.append(perf_counter_ns() - begun)
        client.disconnect()
        client.loop_stop()
        return took


class Aiomqtt(AsyncBackend):
    name, imports = "aiomqtt", "aiomqtt"

    def _client(self):
        import aiomqtt

        client = aiomqtt.Client(HOST, self.port, max_inflight_messages=self.window, timeout=60)
        client.pending_calls_threshold = 1 << 30  # it warns of each beyond
        return client

    async def apublish(self, mark, n):
        async with self._client() as client:
            mark.start()
            await self._fan(lambda: client.publish(TOPIC, self.payload, self.qos), n)
            mark.stop()

    async def areceive(self, mark, n):
        async with self._client() as client:
            await client.subscribe(TOPIC, self.qos)
            mark.ready()
            seen = 0
            async for message in client.messages:
                if not seen:
                    mark.start()
                seen += 1
                if len(message.payload) and seen == n:
                    break
            mark.stop()

    async def artt(self, n):
        took = []
        async with self._client() as client:
            await client.subscribe(TOPIC, self.qos)
            messages = aiter(client.messages)
            for _ in range(n):
                begun = perf_counter_ns()
                await client.publish(TOPIC, self.payload, self.qos)
                await anext(messages)
                took.append(perf_counter_ns() - begun)
        return took


class Gmqtt(AsyncBackend):
    name, imports = "gmqtt", "gmqtt"

    async def _connected(self, client_id, on_message=None):
        import gmqtt

        client = gmqtt.Client(client_id)
        await client.connect(HOST, self.port, version=gmqtt.constants.MQTTv311)
        if on_message:
            subscribed = asyncio.Event()
            client.on_message, client.on_subscribe = on_message, lambda *_: subscribed.set()
            client.subscribe(TOPIC, self.qos)
            await subscribed.wait()
        return client

    async def _settled(self, client):
        """Publishing isn't awaited here and knows no limit: the store of what is under way tells."""
        if self.qos:
            await client._persistent_storage.wait_empty()
        else:
            await asyncio.sleep(0)

    async def apublish(self, mark, n):
        client = await self._connected("bench-publisher")
        mark.start()
        for number in range(n):
            client.publish(TOPIC, self.payload, self.qos)
            if number % self.window == 0:
                await self._settled(client)
        await self._settled(client)
        mark.stop()
        await client.disconnect()

    async def areceive(self, mark, n):
        done, seen = asyncio.Event(), 0

        async def on_message(_client, _topic, payload, _qos, _properties):
            nonlocal seen
            if not seen:
                mark.start()
            seen += 1
            if len(payload) and seen == n:
                mark.stop()
                done.set()
            return 0

        client = await self._connected("bench-receiver", on_message)
        mark.ready()
        await asyncio.wait_for(done.wait(), PATIENCE)
        await client.disconnect()

    async def artt(self, n):
        back, took = asyncio.Event(), []

        def on_message(*_):
            back.set()
            return 0

        client = await self._connected("bench-round-trips", on_message)
        for _ in range(n):
            back.clear()
            begun = perf_counter_ns()
            client.publish(TOPIC, self.payload, self.qos)
            await back.wait()
            took.append(perf_counter_ns() - begun)
        await client.disconnect()
        return took


BACKENDS = {backend.name: backend for backend in (Paho, Aiomqtt, Gmqtt)}
