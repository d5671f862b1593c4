"""Small programs for the API of paho-mqtt. `python paho_programs.py PACKAGE PORT` runs all of them with
one package and prints what they have seen as JSON; test_paho_same.py compares two packages."""

import importlib
import json
import select
import socket
import sys
import threading
import time
import warnings
from collections import defaultdict

warnings.simplefilter("ignore")
PACKAGE, PORT = sys.argv[1], int(sys.argv[2])


def module(name):
    return importlib.import_module(f"{PACKAGE}.{name}")


mqtt = module("client")
V1, V2 = mqtt.CallbackAPIVersion.VERSION1, mqtt.CallbackAPIVersion.VERSION2
PacketTypes = module("packettypes").PacketTypes
Properties = module("properties").Properties
HOST = "127.0.0.1"
CALLBACKS = (
    "on_connect", "on_connect_fail", "on_disconnect", "on_publish", "on_subscribe", "on_unsubscribe", "on_pre_connect",
)


def plain(value):
    """A value as JSON can tell it, its type included where programs look at it."""
    if isinstance(value, mqtt.MQTTMessage):
        return [value.topic, value.payload.decode(), value.qos, value.retain, value.dup, str(value.properties)]
    if isinstance(value, (list, tuple)):
        return [type(value).__name__, *map(plain, value)]
    if isinstance(value, (bool, int, str, type(None))):
        return [type(value).__name__, str(value)]
    return [type(value).__name__, str(value)]


class Seen:
    """What callbacks got, by callback: the order between two kinds of them is the network's."""

    def __init__(self, client):
        self.by_name = defaultdict(list)
        self.changed = threading.Condition()
        for name in CALLBACKS:
            setattr(client, name, self.note(name))
        client.on_message = self.note("on_message")

    def note(self, name, then=None):
        def callback(client, userdata, *args):
            with self.changed:
                self.by_name[name].append([plain(a) for a in args])
                self.changed.notify_all()
            if then is not None:
                then(client)

        return callback

    def wait(self, name, count=1):
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.by_name[name]) >= count, 10), (name, self.by_name)

    def pump(self, client, name, count=1):
        """The same without a thread."""
        end = time.monotonic() + 10
        while len(self.by_name[name]) < count:
            assert time.monotonic() < end, (name, self.by_name)
            client.loop(0.05)


class Server:
    """Answers each connection with the given bytes, after CONNECT, and perhaps closes it."""

    def __init__(self, *answers, close=False):
        self.answers, self.close = answers, close
        self.listener = socket.create_server((HOST, 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        for answer in self.answers:
            connection, _ = self.listener.accept()
            connection.recv(1000)
            connection.sendall(answer)
            if self.close:
                connection.close()
            else:
                while connection.recv(1000):
                    pass


def life(version, protocol):
    client = mqtt.Client(version, f"life{protocol}", protocol=protocol)
    seen = Seen(client)
    out = [client.connect(HOST, PORT), client.loop_start(), client.loop_start()]
    seen.wait("on_connect")
    out.append(client.is_connected())
    out.append(client.subscribe("life/+", 2))
    seen.wait("on_subscribe")
    for qos in (0, 1, 2):
        info = client.publish(f"life/{qos}", f"p{qos}", qos)
        info.wait_for_publish(10)
        out.append([info.rc, info.mid, info.is_published(), list(info), info[0], info[1], str(info)])
        seen.wait("on_message", qos + 1)
    out.append(client.publish("life/n", 12.5))
    seen.wait("on_message", 4)
    out.append(client.unsubscribe(["life/+", "life/none"]))
    seen.wait("on_unsubscribe")
    client.disconnect()  # returns what the thread is at
    seen.wait("on_disconnect")
    client.loop_stop()
    out += [client.is_connected(), client.disconnect()]
    return [plain(one) if not isinstance(one, mqtt.MQTTMessageInfo) else str(one) for one in out], seen.by_name


def properties():
    client = mqtt.Client(V2, "properties", protocol=mqtt.MQTTv5)
    seen = Seen(client)
    connect = Properties(PacketTypes.CONNECT)
    connect.SessionExpiryInterval = 5
    connect.UserProperty = ("a", "b")
    client.connect(HOST, PORT, properties=connect, clean_start=True)
    client.loop_start()
    seen.wait("on_connect")
    options = module("subscribeoptions").SubscribeOptions(qos=1, retainAsPublished=True)
    subscribe = Properties(PacketTypes.SUBSCRIBE)
    subscribe.SubscriptionIdentifier = 7
    client.subscribe([("properties/#", options), ("properties2", 2)], properties=subscribe)
    seen.wait("on_subscribe")
    publish = Properties(PacketTypes.PUBLISH)
    publish.ContentType = "text"
    publish.ResponseTopic = "r"
    publish.CorrelationData = b"\0\1"
    publish.PayloadFormatIndicator = 1
    publish.MessageExpiryInterval = 500
    publish.UserProperty = [("a", "1"), ("a", "2")]
    client.publish("properties/x", "y", 1, True, publish)
    client.publish("properties/x", "", 1, True)
    alias = Properties(PacketTypes.PUBLISH)
    alias.TopicAlias = 3
    client.publish("properties/alias", "full", 0, properties=alias)
    client.publish("", "alias", 0, properties=alias)
    seen.wait("on_message", 4)
    reason = mqtt.ReasonCode(PacketTypes.DISCONNECT, "Disconnect with will message")
    client.disconnect(reason)
    seen.wait("on_disconnect")
    client.loop_stop()
    seen.by_name["on_publish"].sort(key=str)  # QoS 0 is as fast as the thread
    seen.by_name["on_message"].sort(key=str)  # QoS 0 may overtake QoS 1 in a broker that keeps it
    return seen.by_name


def refused(version, protocol, answer):
    server = Server(answer, answer)
    client = mqtt.Client(version, "refused", protocol=protocol, reconnect_on_failure=False)
    seen = Seen(client)
    client.connect(HOST, server.port)
    return [client.loop_forever(), client.is_connected(), seen.by_name]


def lost(version):
    server = Server(b"\x20\2\0\0", close=True)
    client = mqtt.Client(version, "lost", reconnect_on_failure=False)
    seen = Seen(client)
    client.connect(HOST, server.port)
    out = [client.loop_forever(), client.is_connected(), client.socket()]
    out += [client.loop(), client.loop_read(), client.loop_write(), client.loop_misc(), client.want_write()]
    return [plain(one) for one in out], seen.by_name


def said_goodbye(version):
    server = Server(b"\x20\3\0\0\0" + b"\xe0\x0a\x8b\x08\x1f\0\5later")
    client = mqtt.Client(version, "goodbye", protocol=mqtt.MQTTv5, reconnect_on_failure=False)
    seen = Seen(client)
    client.connect(HOST, server.port)
    client.loop_forever()
    return seen.by_name


def silent():
    server = Server(b"\x20\2\0\0")
    client = mqtt.Client(V2, "silent", reconnect_on_failure=False)
    seen = Seen(client)
    client.connect(HOST, server.port, keepalive=1)
    client.loop_forever()
    return seen.by_name


def comes_again():
    server = Server(b"\x20\2\0\0", b"\x20\2\0\0", close=True)
    client = mqtt.Client(V2, "again")
    client.reconnect_delay_set(1, 1)
    seen = Seen(client)
    client.on_connect = seen.note("on_connect", lambda c: len(seen.by_name["on_connect"]) == 2 and c.disconnect())
    client.connect(HOST, server.port)
    client.loop_forever()
    return seen.by_name


def nobody_there():
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    client = mqtt.Client(V2)
    seen = Seen(client)
    out = [attempt(lambda: client.connect(HOST, port))]
    client.connect_async(HOST, port)
    out.append(attempt(client.loop_forever))
    client.connect_async(HOST, port)
    client.loop_start()
    seen.wait("on_connect_fail", 2)
    client.loop_stop()
    return out, dict(seen.by_name, on_pre_connect=None)


def before_connecting():
    client = mqtt.Client(V2, "before", clean_session=False)
    seen = Seen(client)
    client.max_queued_messages_set(2)
    infos = [client.publish("before/0", "a", 0)]
    infos += [client.publish("before/1", str(n), 1) for n in range(3)]
    out = [int(info.rc) for info in infos]
    out += [attempt(info.is_published) for info in infos] + [attempt(lambda i=i: i.wait_for_publish(1)) for i in infos]
    client.connect(HOST, PORT)
    client.subscribe("before/#", 1)
    client.loop_start()
    seen.wait("on_publish", 2)
    client.disconnect()
    client.loop_stop()
    return out, seen.by_name["on_publish"]


def by_filter():
    client = mqtt.Client(V2, "filters")
    order, seen = [], Seen(client)

    @client.topic_callback("filters/+/x")
    def one(client, userdata, message):
        order.append(["one", message.topic])

    client.message_callback_add("filters/a/x", lambda c, u, m: order.append(["two", m.topic]))
    client.message_callback_add("filters/gone", lambda c, u, m: order.append(["gone", m.topic]))
    client.message_callback_remove("filters/gone")
    client.connect(HOST, PORT)
    client.subscribe("filters/#", 1)
    client.loop_start()
    seen.wait("on_subscribe")
    for topic in ("a/x", "b/x", "gone", "c"):
        client.publish(f"filters/{topic}", "", 1)
    seen.wait("on_message", 2)
    client.disconnect()
    client.loop_stop()
    return sorted(order), [message[0][0] for message in seen.by_name["on_message"]]


def raises():
    client = mqtt.Client(V2, "raises")
    seen = Seen(client)

    def boom(client, userdata, message):
        seen.by_name["boom"].append(message.topic)
        if message.payload == b"boom":
            raise KeyError("boom")

    client.on_message = boom
    client.connect(HOST, PORT)
    client.subscribe("raises", 1)
    seen.pump(client, "on_subscribe")
    client.publish("raises", "boom", 1)
    client.publish("raises", "after", 1)
    out = []
    end = time.monotonic() + 10
    while len(seen.by_name["boom"]) < 2:
        assert time.monotonic() < end
        out.append(attempt(lambda: client.loop(0.1)))
    client.suppress_exceptions = True
    client.publish("raises", "boom", 1)
    seen.pump(client, "boom", 3)
    client.disconnect()
    return [one for one in out if one != "0"], seen.by_name["boom"]


def manual():
    client = mqtt.Client(V2, "manual", clean_session=False, manual_ack=True)
    kept = []
    seen = Seen(client)
    client.on_message = lambda c, u, m: kept.append((m.mid, m.qos, m.payload.decode(), m.dup))
    client.connect(HOST, PORT)
    client.subscribe("manual", 1)
    seen.pump(client, "on_subscribe")
    client.publish("manual", "one", 1)
    client.publish("manual", "two", 1)
    end = time.monotonic() + 10
    while len(kept) < 2 or len(seen.by_name["on_publish"]) < 2:
        assert time.monotonic() < end
        client.loop(0.05)
    out = [int(client.ack(kept[0][0], 1)), int(client.ack(9999, 1))]
    client.disconnect()
    client.connect(HOST, PORT)
    while len(kept) < 3:
        assert time.monotonic() < end
        client.loop(0.05)
    client.ack(kept[2][0], 1)
    client.unsubscribe("manual")
    seen.pump(client, "on_unsubscribe")
    client.disconnect()
    return out, [entry[1:] for entry in kept]


def outer_loop():
    client = mqtt.Client(V2, "outer")
    seen, calls = Seen(client), []
    watched = {"write": False}

    def note(name, write=None):
        def callback(client, userdata, sock):
            calls.append(name)
            if write is not None:
                watched["write"] = write

        return callback

    client.on_socket_open = note("open")
    client.on_socket_close = note("close")
    client.on_socket_register_write = note("register", True)
    client.on_socket_unregister_write = note("unregister", False)
    client.connect(HOST, PORT)

    def turn():
        sock = client.socket()
        if sock is None:
            return
        readable, writable, _ = select.select([sock], [sock] if watched["write"] else [], [], 0.05)
        if readable:
            client.loop_read()
        if writable:
            client.loop_write()
        client.loop_misc()

    def until(name, count=1):
        end = time.monotonic() + 10
        while len(seen.by_name[name]) < count:
            assert time.monotonic() < end, (name, seen.by_name)
            turn()

    until("on_connect")
    client.subscribe("outer", 1)
    until("on_subscribe")
    for qos in (0, 1, 2):
        client.publish("outer", str(qos), qos)
    until("on_message", 3)
    until("on_publish", 3)
    client.disconnect()
    until("on_disconnect")
    seen.by_name["on_publish"].sort(key=str)
    balanced = calls.count("register") == calls.count("unregister")
    return calls[0], calls[-1], balanced, seen.by_name


def subclass():
    events = []

    class Mine(mqtt.Client):
        def on_connect(self, client, userdata, flags, reason_code, properties):
            events.append(["connect", self is client, userdata])
            self.subscribe("subclass")

        def on_subscribe(self, client, userdata, mid, codes, properties):
            self.publish("subclass", "x")

        def on_message(self, client, userdata, message):
            events.append(["message", message.topic])
            self.disconnect()

    client = Mine(V2, "subclass", userdata="first")
    client.user_data_set("second")
    client.connect(HOST, PORT)
    rc = client.loop_forever()
    return int(rc), events, client.user_data_get()


def helpers():
    publish, subscribe = module("publish"), module("subscribe")
    publish.single("helpers/1", "one", 1, True, HOST, PORT)
    messages = [("helpers/2", "two", 0, True), {"topic": "helpers/3", "payload": "three", "qos": 2, "retain": True}]
    publish.multiple(messages, HOST, PORT, client_id="helpers")
    found = subscribe.simple(["helpers/#"], 2, 3, hostname=HOST, port=PORT)
    one = subscribe.simple("helpers/1", hostname=HOST, port=PORT)
    called = []

    def callback(client, userdata, message):
        called.append([userdata, message.topic])
        client.disconnect()

    subscribe.callback(callback, "helpers/2", userdata="u", hostname=HOST, port=PORT)
    publish.multiple([(f"helpers/{n}", None, 0, True) for n in (1, 2, 3)], HOST, PORT)
    bad = [
        attempt(lambda: publish.multiple([], HOST, PORT)),
        attempt(lambda: publish.multiple(5, HOST, PORT)),
        attempt(lambda: publish.single("a", auth={"password": "x"}, hostname=HOST, port=PORT)),
        attempt(lambda: subscribe.simple("a", msg_count=0)),
        attempt(lambda: subscribe.simple("a", qos=5)),
    ]
    server = Server(b"\x20\2\0\5")
    bad.append(attempt(lambda: publish.single("a", hostname=HOST, port=server.port)))
    return sorted(map(plain, found)), plain(one), called, bad


def will():
    watcher = mqtt.Client(V2, "watcher")
    seen = Seen(watcher)
    watcher.connect(HOST, PORT)
    watcher.subscribe("will", 1)
    watcher.loop_start()
    seen.wait("on_subscribe")
    client = mqtt.Client(V2, "will")
    client.will_set("will", "gone", 1)
    ours = Seen(client)
    client.connect(HOST, PORT)
    ours.pump(client, "on_connect")
    client.socket().shutdown(socket.SHUT_RDWR)
    ours.pump(client, "on_disconnect")
    seen.wait("on_message")
    watcher.disconnect()
    watcher.loop_stop()
    return seen.by_name["on_message"], ours.by_name["on_disconnect"], client.will_topic, plain(client.will_payload)


def attempt(call):
    """What a call returns, or the type of what it raises."""
    try:
        value = call()
    except Exception as error:
        return type(error).__name__
    return str(int(value)) if isinstance(value, mqtt.MQTTErrorCode) else str(value)


def bad_calls():
    c = mqtt.Client(V2)
    none, options = object(), module("subscribeoptions").SubscribeOptions
    calls = [
        lambda: c.publish("a/#"), lambda: c.publish("a/+/b"), lambda: c.publish(""), lambda: c.publish(None),
        lambda: c.publish("a", qos=3), lambda: c.publish("a", qos=-1), lambda: c.publish("a", none),
        lambda: c.publish("a", {}), lambda: c.publish("a" * 66000), lambda: c.subscribe("a/#/b"),
        lambda: c.subscribe(""), lambda: c.subscribe("a", 3), lambda: c.subscribe([]), lambda: c.subscribe(5),
        lambda: c.subscribe(None), lambda: c.subscribe(("a", 1)), lambda: c.subscribe([("a", 1), ("b", 2)]),
        lambda: c.subscribe([("a", 5)]), lambda: c.subscribe([("", 1)]), lambda: c.unsubscribe(None),
        lambda: c.unsubscribe(""), lambda: c.unsubscribe(5), lambda: c.unsubscribe("a"), lambda: c.will_set(""),
        lambda: c.will_set("a", qos=4), lambda: c.will_set("a", []), lambda: c.connect(""), lambda: c.connect(None),
        lambda: c.connect(HOST, 0), lambda: c.connect(HOST, "1"), lambda: c.connect(HOST, keepalive=-1),
        lambda: c.connect(HOST, bind_port=-1), lambda: c.proxy_set(), lambda: c.proxy_set(proxy_type=2),
        lambda: c.tls_insecure_set(True), lambda: c.message_callback_add(None, None),
        lambda: c.message_callback_add("a", None), lambda: c.message_callback_remove("zz"),
        lambda: c.message_callback_remove(None), lambda: c.loop(-1), lambda: c.loop(), lambda: c.loop_read(),
        lambda: c.loop_write(), lambda: c.loop_misc(), lambda: c.loop_stop(), lambda: c.disconnect(),
        lambda: c.ack(1, 1), lambda: mqtt.Client(V2).max_inflight_messages_set(-1),
        lambda: mqtt.Client(V2).max_queued_messages_set(-1), lambda: mqtt.Client(V2).max_queued_messages_set("1"),
        lambda: mqtt.Client(V2).reconnect(), lambda: c.want_write(),
        lambda: c.socket(), lambda: c.username_pw_set(None, "p"), lambda: (c.username, c.password),
        lambda: mqtt.Client(V2, clean_session=False), lambda: mqtt.Client(V2, transport="x"),
        lambda: mqtt.Client(V2, protocol=mqtt.MQTTv5, clean_session=True), lambda: mqtt.Client("client-id"),
        lambda: len(mqtt.Client(V2, protocol=mqtt.MQTTv31)._client_id), lambda: mqtt.Client(V2, None)._client_id,
        lambda: mqtt.Client(V2, b"bytes")._client_id, lambda: c.subscribe([("a", options(1))]),
        lambda: c.tls_set(ca_certs="/nowhere"), lambda: c.connect_srv("none.invalid"),
        *(lambda n=n, v=v: setattr(mqtt.Client(V2), n, v)
          for n, v in (("host", ""), ("port", 0), ("keepalive", -1), ("connect_timeout", 0))),
        lambda: options(3), lambda: setattr(options(), "x", 1),
    ]  # fmt: skip
    return [attempt(call) for call in calls]


PROGRAMS = {
    **{f"life {v.name} {p}": (lambda v=v, p=p: life(v, p)) for v in (V1, V2) for p in (3, 4, 5)},
    "properties": properties,
    **{f"refused {v.name} 4": (lambda v=v: refused(v, 4, b"\x20\2\0\5")) for v in (V1, V2)},
    **{f"refused {v.name} 5": (lambda v=v: refused(v, 5, b"\x20\3\0\x87\0")) for v in (V1, V2)},
    **{f"lost {v.name}": (lambda v=v: lost(v)) for v in (V1, V2)},
    **{f"goodbye {v.name}": (lambda v=v: said_goodbye(v)) for v in (V1, V2)},
    "silent": silent,
    "comes again": comes_again,
    "nobody there": nobody_there,
    "before connecting": before_connecting,
    "by filter": by_filter,
    "raises": raises,
    "manual": manual,
    "outer loop": outer_loop,
    "subclass": subclass,
    "helpers": helpers,
    "will": will,
    "bad calls": bad_calls,
}

if __name__ == "__main__":
    outcomes = {}
    for name, program in PROGRAMS.items():
        try:
            outcomes[name] = program()
        except Exception as error:
            outcomes[name] = f"{type(error).__name__}: {error}"
    json.dump(outcomes, sys.stdout)
