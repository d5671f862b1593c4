"""Shared subscriptions and $SYS, which a client of any make finds without knowing of us."""

import subprocess

from actors import PATIENCE
from broker import Broker
from peers import each


@each()
def test_two_members_take_turns_and_the_last_one_gets_all(start, topic, peer):
    anna, ben, publisher = (start(peer) for _ in range(3))
    for member in (anna, ben):
        member.connects()
        member.subscribes(f"$share/group/{topic}/#", qos=1)
    publisher.connects()
    for turn, member in enumerate((anna, ben, anna, ben)):
        publisher.publishes(f"{topic}/{turn}", str(turn), qos=1)
        member.receives(f"{topic}/{turn}", str(turn), qos=1)
    ben.disconnects()
    for turn in (4, 5):
        publisher.publishes(f"{topic}/{turn}", str(turn), qos=1)
        anna.receives(f"{topic}/{turn}", str(turn), qos=1)


def test_mosquitto_sub_reads_the_sys_topics(tmp_path):
    config = tmp_path / "ternmq.toml"
    config.write_text("sys_interval = 1\n")
    broker = Broker("--config", str(config))
    try:
        said = subprocess.run(
            ["mosquitto_sub", "-h", broker.host, "-p", str(broker.port), "-v", "-W", str(PATIENCE),
             "-C", "2", "-t", "$SYS/broker/version", "-t", "$SYS/broker/clients/connected"],
            stdout=subprocess.PIPE, text=True, timeout=2 * PATIENCE, check=True,
        )  # fmt: skip
    finally:
        broker.stop()
    assert "$SYS/broker/version ternmq version " in said.stdout, said.stdout
    assert "$SYS/broker/clients/connected " in said.stdout, said.stdout
