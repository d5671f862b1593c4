"""What is Paho's own."""

import subprocess
from pathlib import Path

from actors import PahoSync
from peers import Troupe

HERE = Path(__file__).parent


def test_a_library_whose_thread_starts_late_gets_a_second_chance(
    troupe: Troupe, topic: str, tmp_path: Path
) -> None:
    late = tmp_path / "late.so"
    source = HERE / "late_thread.c"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", late, source, "-ldl"], check=True)
    once = tmp_path / "once"
    once.touch()
    command, env = troupe.command("paho-c-sync")
    env = env | {"LD_PRELOAD": str(late), "LATE_THREAD": str(once)}
    anna = PahoSync(command, troupe.broker, 4, "c-late", env=env)
    first = anna.process.pid
    try:
        anna.connects()
        assert not once.exists(), "no thread was late"
        assert anna.process.pid != first, "the library waits longer now: this is not needed any more"
        anna.subscribes(topic)
        anna.publishes(topic, "here after all")
        anna.receives(topic, "here after all")
    finally:
        anna.dies()
