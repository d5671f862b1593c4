"""SCRAM as others understand it: scramp has the words, mqtt.js says them.

The users are made by `ternmq passwd`, so that all three have to mean the same password.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from actors import Actor, Answer
from broker import ROOT, Broker
from peers import Peer, Troupe
from scramp import ScramClient

MECHANISMS = ["SCRAM-SHA-256", "SCRAM-SHA-512"]
# With what SASLprep makes other characters of.
PASSWORD = "I\u00adX p\u00e4ssword \u2168"


def user(name: str, password: str) -> str:
    """The lines of the configuration for a user."""
    made = subprocess.run(
        [ROOT / "target/debug/ternmq", "passwd", "--iterations", "4096", name],
        input=f"{password}\n",
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return made.stdout


@pytest.fixture(scope="module")
def strict(troupe: Troupe, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Troupe]:
    """A server with users, and clients for it; after `troupe`, which has built the server."""
    config: Path = tmp_path_factory.mktemp("strict") / "ternmq.toml"
    config.write_text(user("anna", PASSWORD) + user("ben=,", "other"))
    broker = Broker("--config", str(config))
    strict = Troupe(broker, troupe.built)
    yield strict
    strict.close()
    broker.stop()


@pytest.fixture
def anna(strict: Troupe) -> Iterator[Actor]:
    actor = strict.start(Peer("mqtt.js", 5))
    yield actor
    strict.end(actor)


def client(mechanism: str, name: str = "anna", password: str = PASSWORD) -> ScramClient:
    return ScramClient([mechanism], name, password)


def answers(actor: Actor, scram: ScramClient, mechanism: str, asked: Answer) -> Answer:
    """Answers the server's question."""
    assert asked.word == "asked", asked
    scram.set_server_first(asked.text("auth_data"))
    said = scram.get_client_final()
    return actor.step("authenticates", auth_method=mechanism, auth_data=said)


def enters(actor: Actor, scram: ScramClient, mechanism: str) -> Answer:
    first = scram.get_client_first()
    asked = actor.step(
        "connects",
        host=actor.broker.host,
        port=actor.broker.port,
        version=5,
        client_id=actor.client_id,
        auth_method=mechanism,
        auth_data=first,
    )
    return answers(actor, scram, mechanism, asked)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_user_and_the_server_prove_themselves(anna, mechanism):
    scram = client(mechanism)
    entered = enters(anna, scram, mechanism)
    assert entered.word == "ok", entered
    assert entered.text("auth_method") == mechanism
    # It raises an error if the server does not know the password.
    scram.set_server_final(entered.text("auth_data"))
    anna.subscribes("scram/in")
    anna.publishes("scram/in", "inside")
    anna.receives("scram/in", "inside")


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_connection_authenticates_anew(anna, mechanism):
    assert enters(anna, client(mechanism), mechanism).word == "ok"
    for _ in range(2):
        scram = client(mechanism)
        asked = anna.step(
            "reauthenticates", auth_method=mechanism, auth_data=scram.get_client_first()
        )
        again = answers(anna, scram, mechanism, asked)
        assert again.word == "ok", again
        scram.set_server_final(again.text("auth_data"))
        anna.publishes("scram/again", "still inside")
    # As somebody else it fails, and the connection is over.
    scram = client(mechanism, "ben=,", "other")
    asked = anna.step("reauthenticates", auth_method=mechanism, auth_data=scram.get_client_first())
    refused = answers(anna, scram, mechanism, asked)
    assert (refused.word, refused.number("reason")) == ("refused", 0x87), refused
    assert anna.loses().number("reason") == 0x87


def test_a_name_is_written_as_scram_writes_it(anna):
    scram = client("SCRAM-SHA-256", "ben=,", "other")
    entered = enters(anna, scram, "SCRAM-SHA-256")
    assert entered.word == "ok", entered
    scram.set_server_final(entered.text("auth_data"))


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("who", [("anna", "pässword"), ("nobody", PASSWORD)])
def test_who_does_not_know_the_password_is_refused(anna, mechanism, who):
    refused = enters(anna, client(mechanism, *who), mechanism)
    assert (refused.word, refused.number("reason")) == ("refused", 0x87), refused
