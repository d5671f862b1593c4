"""The rows of the tables: what is measured, beside whom, and what it is to reach."""

from dataclasses import dataclass, field

CLOSED = "--count 20000000 --duration 0.5 --size 64"
OURS, FLOOR = "TernMQ", "floor"
CPU = "costs.broker.cpu_us_per_*"
# What a target was set beside, in the order in which the numbers of a row of the tables stand.
BESIDE = ("rumqttd", "rmqtt", "mosquitto")


@dataclass(frozen=True)
class Target:
    """What is to be reached. Machines differ, so a target in time is one beside a peer that is measured in
    the same run: `ratio` of it. `floor` is how much of the relay's is good enough, where that is more.
    Counts, bytes and what a user waits for are absolute: at most `limit`, or at least `least`."""

    beside: str = ""
    ratio: float = 0.0
    floor: float = 0.0
    limit: float | None = None
    least: float | None = None

    def bound(self, medians):
        """The number that ours is compared with, and in words where it comes from; or None."""
        if self.limit is not None:
            return self.limit, f"at most {self.limit:g}"
        if self.least is not None:
            return self.least, f"at least {self.least:g}"
        if self.beside not in medians:
            return None
        bound, words = self.ratio * medians[self.beside], f"{self.ratio:.2f}x of {self.beside}"
        if self.floor and self.floor * medians.get(FLOOR, 0) > bound:
            bound, words = self.floor * medians[FLOOR], f"{self.floor:g}x of the floor"
        return bound, words


@dataclass(frozen=True)
class Rule:
    """What targets were made by: at most `part` of the best peer in the run, or `floor` times the relay where
    that is more. It needs nobody in particular to be there."""

    part: float
    floor: float

    def bound(self, medians):
        """As `Target.bound`."""
        bounds = []
        peers = {who: value for who, value in medians.items() if who not in (OURS, FLOOR)}
        if self.part and peers:
            best = min(peers, key=peers.get)
            bounds.append((self.part * peers[best], f"{self.part:g}x of {best}"))
        if FLOOR in medians:
            bounds.append((self.floor * medians[FLOOR], f"{self.floor:g}x of the floor"))
        return max(bounds, default=None)


IN_CLOSED_LOOP, OF_DEVICES = Rule(0.5, 1.5), Rule(0.0, 1.3)


@dataclass(frozen=True)
class Row:
    """One line. `needs` are words that makes may lack, `seconds` what one run of one who takes part takes about;
    one that is `alone` is measured when it is named, not with all the others."""

    name: str
    group: str
    title: str
    args: tuple = ()
    unit: str = "CPU µs per message"
    metric: str = CPU
    target: Target = field(default_factory=Target)
    needs: frozenset = frozenset()
    transport: str = "tcp"
    rounds: int = 0
    timeout: int = 300
    seconds: float = 2.5
    alone: bool = False
    rule: Rule | None = None

    @property
    def run(self):
        """Rows with the same are found in one and the same run."""
        return (self.args, self.transport, self.needs, self.metric == "startup_ms") if self.group in ("broker", "other") else self.name

    def load_args(self, quick):
        """Shorter for a look only: a tenth of the seconds and of the large numbers."""
        if not quick:
            return self.args
        args = list(self.args)
        for at, word in enumerate(args[:-1]):
            if word == "--duration":
                args[at + 1] = "0.1"
            elif word in ("--hold",):
                args[at + 1] = "1"
            elif word in ("--count", "--conns", "--subscriptions") and int(args[at + 1]) > 2000:
                args[at + 1] = str(int(args[at + 1]) // 10)
        return tuple(args)


def closed(name, title, args, *, goal, peers, floor=1.5, needs=()):
    """A row in closed loop. `peers` are the numbers of the table for rumqttd and rmqtt, on the machine on
    which `goal` was set: the first that is known gives the ratio."""
    beside, theirs = next((who, number) for who, number in zip(BESIDE, peers) if number)
    target = Target(beside, goal / theirs, floor)
    rule = OF_DEVICES if floor == OF_DEVICES.floor else IN_CLOSED_LOOP
    return Row(name, "broker", title, (*args.split(), *CLOSED.split()), target=target, rule=rule, needs=frozenset(needs))


def by_qos(shape, title, args, warmup, numbers, **options):
    """Rows for QoS 0, 1, 2: goal, and what rumqttd and rmqtt had."""
    rows = []
    for qos, (goal, *peers) in numbers.items():
        words = f"{args} --qos {qos} --warmup {warmup}"
        rows.append(closed(f"{shape}-q{qos}", f"{title}, QoS {qos}", words, goal=goal, peers=peers, **options))
    return rows


DEVICES = "--conns 1000 --batch 1"


def broker_rows():
    rows = by_qos("fanin100", "fan-in 100", "fanin --conns 100 --window 50", 5000,
                  {0: (0.35, 2.02, 7.38), 1: (0.50, 3.19, 13.0), 2: (0.88, 3.55, 15.6)})
    wide = "fanin --conns 100 --window 50 --qos 0 --warmup 5000"
    target = Target("rumqttd", 0.60 / 3.62, 1.5)
    args = (*wide.split(), *CLOSED.replace("--size 64", "--size 1024").split())
    rows.append(Row("fanin100-q0-1k", "broker", "fan-in 100, QoS 0, 1 KiB", args, target=target, rule=IN_CLOSED_LOOP))
    args = (*wide.split(), *CLOSED.replace("--size 64", "--size 65536").split())
    rows.append(Row("fanin100-q0-64k", "broker", "fan-in 100, QoS 0, 64 KiB", args, target=Target("mosquitto", 0.5, 1.5),
                    rule=IN_CLOSED_LOOP))
    rows += by_qos("fanout100", "fan-out 1 -> 100", "fanout --conns 100 --window 32", 100,
                   {0: (0.22, 0.47, 4.20), 1: (0.30, 0.74, 7.20)})
    rows += by_qos("fanout1000", "fan-out 1 -> 1000", "fanout --conns 1000 --window 32", 32,
                   {0: (0.28, 0.63, 6.39), 1: (0.38, 1.03, 8.17), 2: (0.52, 1.84, 10.9)})
    rows += by_qos("pairs100", "pairs 100", "pairs --conns 100 --window 50", 5000,
                   {0: (0.40, 2.20, 8.84), 1: (0.60, 2.69, 13.9), 2: (0.88, 3.64, 20.3)})
    rows.append(closed("pairs100-q1-v5", "pairs 100, QoS 1, v5", "pairs --version 5 --conns 100 --window 50 --qos 1 --warmup 5000",
                       goal=0.62, peers=(0, 15.6), needs=["v5"]))
    for name, title, args, goal, peers in (
        ("fanin1000-q0", "fan-in 1000, QoS 0", "fanin --window 4 --warmup 4000 --qos 0", 2.1, (4.23, 8.72)),
        ("fanin1000-q1", "fan-in 1000, QoS 1", "fanin --window 4 --warmup 4000 --qos 1", 2.8, (6.66, 15.0)),
        ("fanout1000-q0", "fan-out 1000, QoS 0", "fanout --window 2 --warmup 16 --qos 0", 2.9, (4.08, 7.97)),
        ("pairs1000-q1", "pairs 1000, QoS 1", "pairs --window 4 --warmup 4000 --qos 1", 4.2, (11.7, 19.6)),
    ):
        rows.append(closed(f"devices-{name}", f"devices: {title}", f"{args} {DEVICES}", goal=goal, peers=peers, floor=1.3))
    return rows


def other(name, title, args, target, *, unit="CPU µs per message", metric=CPU, needs=(), **options):
    return Row(name, "other", title, tuple(args.split()), unit, metric, target, frozenset(needs), **options)


def other_rows():
    """Beside Debian's mosquitto 2.0.11, of which the tables have numbers."""
    idle, memory = "conns --conns 19500 --ping", "memory.broker_bytes_per_*"
    few, calm = {"rounds": 3}, "--count 2000 --warmup 200"
    crowd = {**few, "seconds": 10}
    scattered = "subs --window 100 --duration 0.6 --count 20000000 --warmup 5000"
    rows = [
        other("idle", "user-space bytes per idle connection, 19,500", idle, Target(limit=700),
              unit="bytes", metric=memory, needs=["many-connections", "routing"], **crowd),
        other("idle-subscribed", "the same, one subscription each", f"{idle} --subscribe", Target(limit=900),
              unit="bytes", metric=memory, needs=["many-connections", "routing"], **crowd),
        other("churn", "connect and disconnect", "churn --count 10000", Target("mosquitto", 20 / 24.7),
              unit="CPU µs each", needs=["sessions"], seconds=1.5),
        other("storm", "connect and disconnect, 1,000 at a time", "churn --count 20000 --conns 1000",
              Target("mosquitto", 20 / 24.7), unit="CPU µs each", needs=["sessions"], seconds=2, **few),
        other("keepalive", "PINGREQ of 19,500 that are idle otherwise", "conns --conns 19500 --keepalive 10 --hold 10",
              Target("mosquitto", 1.0), unit="CPU µs each", metric="after_costs.broker.cpu_us_per_*",
              needs=["many-connections", "routing"], rounds=3, seconds=20),
    ]
    for name, count, goal, theirs, seconds in (
        ("1k", 1000, 1.5, 7.3, 3), ("100k", 100_000, 2.0, 9.9, 4), ("1m", 1_000_000, 2.5, 10.2, 25),
    ):
        needs = ["routing"] + (["many-filters"] if count > 1000 else [])
        rows.append(other(f"subs-{name}", f"publish with {name} subscriptions", f"{scattered} --subscriptions {count}",
                          Target("mosquitto", goal / theirs), needs=needs, timeout=600, seconds=seconds, **few))
    for name, count, theirs, seconds in (("100k", 100_000, 3.8, 3), ("1m", 1_000_000, 3.5, 15)):
        rows.append(other(f"retained-{name}", f"retained {name}, subscribe to all", f"retained --count {count} --keep",
                          Target("mosquitto", 0.6 / theirs), needs=["retained"], timeout=600, seconds=seconds, **few))
    rows.append(other("offline-100k", "offline 100k, drain", "offline --count 100000 --keep",
                      Target("mosquitto", 0.6 / 3.9), needs=["sessions"], **few))
    for qos, (p50, theirs, cpu, cost) in {0: (46, 46, 11, 11), 1: (62, 67, 18, 21), 2: (69, 88, 28, 42)}.items():
        args = f"latency --qos {qos} {calm}"
        rows.append(other(f"latency-q{qos}", f"latency at 1,000 a second, p50, QoS {qos}", args,
                          Target("mosquitto", p50 / theirs), unit="µs", metric="latency_since_send_us.p50"))
        rows.append(other(f"calm-q{qos}", f"CPU at 1,000 a second, QoS {qos}", args, Target("mosquitto", cpu / cost)))
    rows.append(other("start", "start to first CONNACK", "", Target(limit=10), unit="ms", metric="startup_ms",
                      needs=["sessions"], seconds=0.2))
    for transport, name in (("tls", "TLS 1.3"), ("ws", "WebSocket")):
        for shape in ("fanin", "pairs"):
            args = f"{shape} --conns 100 --window 50 --qos 1 --warmup 5000 {CLOSED}"
            rows.append(other(f"{transport}-{shape}-q1", f"{name}: {'fan-in' if shape == 'fanin' else 'pairs'} 100, QoS 1",
                              args, Target("mosquitto", 0.5), needs=[transport], transport=transport))
    return rows


def all_rows():
    return broker_rows() + other_rows()
