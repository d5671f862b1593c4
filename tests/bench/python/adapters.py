"""The faces of ternmq as `clients` has those of others."""

from time import perf_counter_ns

import clients
import ternmq
from ternmq.blocking import Client


class Ternmq(clients.AsyncBackend):
    """`async for`, and awaited publishes with as many in flight as the others have."""

    name, imports = "ternmq", "ternmq"

    def _client(self):
        return ternmq.Client(f"mqtt://{clients.HOST}:{self.port}", version=4, inflight=self.window)

    async def apublish(self, mark, n):
        async with self._client() as client:
            mark.start()
            await self._fan(lambda: client.publish(clients.TOPIC, self.payload, self.qos), n)
            await client.drain()
            mark.stop()

    async def areceive(self, mark, n):
        async with self._client() as client, client.subscribe(clients.TOPIC, self.qos) as inbox:
            mark.ready()
            seen = 0
            async for message in inbox:
                if not seen:
                    mark.start()
                seen += 1
                if len(message.payload) and seen == n:
                    break
            mark.stop()

    async def artt(self, n):
        async with self._client() as client, client.subscribe(clients.TOPIC, self.qos) as inbox:
            return await self._round_trips(client, aiter(inbox), n)

    async def _round_trips(self, client, messages, n):
        took = []
        for _ in range(n):
            begun = perf_counter_ns()
            await client.publish(clients.TOPIC, self.payload, self.qos)
            await anext(messages)
            took.append(perf_counter_ns() - begun)
        return took


class Batches(Ternmq):
    name = "ternmq-batches"

    async def areceive(self, mark, n):
        async with self._client() as client, client.subscribe(clients.TOPIC, self.qos) as inbox:
            mark.ready()
            seen = 0
            async for batch in inbox.batches(256):
                if not seen:
                    mark.start()
                seen += sum(1 for message in batch if len(message.payload))
                if seen == n:
                    break
            mark.stop()


class Blocking(clients.Backend):
    name, imports = "ternmq-blocking", "ternmq.blocking"

    def _client(self):
        return Client(f"mqtt://{clients.HOST}:{self.port}", version=4, inflight=self.window)

    def publish(self, mark, n):
        with self._client() as client:
            mark.start()
            for _ in range(n):
                client.publish(clients.TOPIC, self.payload, self.qos)
            client.drain()
            mark.stop()

    def receive(self, mark, n):
        with self._client() as client, client.subscribe(clients.TOPIC, self.qos) as inbox:
            mark.ready()
            seen = 0
            for message in inbox:
                if not seen:
                    mark.start()
                seen += 1
                if len(message.payload) and seen == n:
                    break
            mark.stop()

    def rtt(self, n):
        took = []
        with self._client() as client, client.subscribe(clients.TOPIC, self.qos) as inbox:
            for _ in range(n):
                begun = perf_counter_ns()
                client.publish(clients.TOPIC, self.payload, self.qos)
                inbox.get(10)
                took.append(perf_counter_ns() - begun)
        return took


class PahoNames(clients.Paho):
    """What the drivers do with paho-mqtt, done with `ternmq.paho`."""

    name, imports = "ternmq-paho", "ternmq.paho.client"

    def _connected(self, cid):
        import ternmq.paho

        ternmq.paho.install()
        return super()._connected(cid)


class AiomqttOnTernmq(clients.Aiomqtt):
    """aiomqtt as it comes, with `ternmq.paho` below it."""

    name = "aiomqtt-on-ternmq"

    def _client(self):
        import ternmq.paho

        ternmq.paho.install()
        return super()._client()


ADAPTERS = {adapter.name: adapter for adapter in (Ternmq, Batches, Blocking, PahoNames, AiomqttOnTernmq)}
