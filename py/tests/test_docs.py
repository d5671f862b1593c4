"""Every example of the manual runs, and prints what the manual says.

In the pages of `py/docs`, and in the README of the package:

- a block of `python` is a program; a block of `text` right behind it is what it prints;
- a block of `python` with a title is a file; one that is called `test_...` is run by pytest, and
  any other has to be used by a later block;
- in a block of `console`, lines that begin with `$ ` are commands, the others what they print;
- a block of `sh` is for readers alone.

The blocks of a page share a folder, and a broker that listens where they say `localhost`.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import ternmq

PACKAGE = Path(__file__).parents[1]
PAGES = [PACKAGE / "README.md", *sorted((PACKAGE / "docs").rglob("*.md"))]
LANGUAGES = {"python", "text", "console", "sh", "toml", "ini"}

# Without it pytest-asyncio warns that its default will change.
SCOPE = ["-o", "asyncio_default_fixture_loop_scope=function"]

FENCE = re.compile(r"^```(\w+)(?: title=\"([^\"\n]*)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass
class Block:
    """Something between fences."""

    language: str
    title: str
    text: str
    line: int
    output: str | None = None


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    found: list[Block] = []
    end = 0
    for match in FENCE.finditer(text):
        language, title, body = match.group(1), match.group(2) or "", match.group(3)
        line = text.count("\n", 0, match.start()) + 1
        follows = found and text[end : match.start()].strip() == ""
        if language == "text" and follows and found[-1].language == "python":
            found[-1].output = body
        else:
            found.append(Block(language, title, body, line))
        end = match.end()
    assert text.count("```") == 2 * len(FENCE.findall(text)), f"{page}: a fence of another form"
    return found


class Reader:
    """Somebody who tries a page out."""

    def __init__(self, folder: Path, broker: ternmq.Broker) -> None:
        self.folder, self.broker = folder, broker
        scripts = str(Path(sys.executable).parent)
        self.env = os.environ | {"PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}

    def tries(self, block: Block) -> None:
        text = block.text.replace("//localhost", f"//127.0.0.1:{self.broker.port}")
        text = text.replace('"localhost", 1883', f'"127.0.0.1", {self.broker.port}')
        text = text.replace('hostname="localhost"', f'hostname="127.0.0.1", port={self.broker.port}')
        if block.language == "python" and block.title:
            (self.folder / block.title).write_text(text)
            if block.title.startswith("test_"):
                command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *SCOPE]
                self.run([*command, block.title])
        elif block.language == "python":
            said = self.run([sys.executable, "-c", text])
            if block.output is not None:
                assert said == block.output
        elif block.language == "console":
            for command, output in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE):
                assert self.run(["sh", "-ec", command]) == output

    def run(self, command: list[str]) -> str:
        done = subprocess.run(
            command, cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=60
        )
        # What client and broker log of connections is not the example's.
        logged = r"^(?:[A-Z]+ )?(?:127\.0\.0\.1:\d+: |client '.*' from 127\.0\.0\.1 ).*\n"
        errors = re.sub(logged, "", done.stderr, flags=re.MULTILINE)
        assert (done.returncode, errors) == (0, ""), done.stdout + done.stderr
        return done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PACKAGE)))
def test_every_example_of_the_page(page: Path, tmp_path: Path) -> None:
    found = blocks(page)
    for at, block in enumerate(found):
        assert block.language in LANGUAGES, f"line {block.line}: what is {block.language}?"
        if block.title and not block.title.startswith("test_"):
            later = "".join(other.text for other in found[at + 1 :])
            assert block.title.removesuffix(".py") in later, f"{block.title} is used by nobody"
    # As `ternmq serve`, it keeps no record, which would count as a subscriber.
    with ternmq.Broker(record=0) as broker:
        reader = Reader(tmp_path, broker)
        for block in found:
            try:
                reader.tries(block)
            except AssertionError as error:
                error.add_note(f"in {page}, line {block.line}")
                raise


def test_a_wrong_example_is_noticed(tmp_path: Path, broker: ternmq.Broker) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\nprint(1)\n```\n\n```text\n2\n```\n")
    [block] = blocks(page)
    with pytest.raises(AssertionError):
        Reader(tmp_path, broker).tries(block)


def test_the_reference_has_every_public_name() -> None:
    reference = "".join(page.read_text() for page in (PACKAGE / "docs/reference").glob("*.md"))
    whole = {"errors": "ternmq.errors", "values": "ternmq.values"}
    for name in ternmq.__all__:
        home = getattr(ternmq, name).__module__.rpartition(".")[2]
        if home in whole:
            assert f"::: {whole[home]}\n" in reference
        else:
            assert re.search(rf"^::: ternmq\S*\.{name}$", reference, re.MULTILINE), name
