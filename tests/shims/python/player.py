"""How the shim of an asyncio client of another make plays: it reads steps from its standard input, does
them one after the other, and writes what came of each."""

import asyncio
import sys
from collections.abc import Callable

from line import Line, answer

# Seconds: shorter than the runner's patience, so that the shim can still say what did not come.
PATIENCE = 10
# Bytes of the longest line: a large payload with every byte escaped.
LINE_LIMIT = 1 << 22


class Player:
    """A client; its method `do_VERB` does a step and returns the outcome."""

    # What a step may end with that is the client's own.
    ERRORS: tuple[type[Exception], ...] = (ValueError,)

    def refusal(self, error: Exception) -> int | None:
        """The server's reason code, if an error is a refusal."""
        raise NotImplementedError

    async def act(self, line: Line) -> str:
        step = getattr(self, f"do_{line.verb}", None)
        if step is None:
            return answer("failed", ("what", f"unknown verb {line.verb}"))
        try:
            async with asyncio.timeout(PATIENCE):
                return await step(line)
        except TimeoutError:
            return "nothing"
        except self.ERRORS as error:
            reason = self.refusal(error)
            if reason is None:
                return answer("failed", ("what", repr(error)))
            return answer("refused", ("reason", reason))


def play(player: Callable[[], Player]) -> None:
    """Plays to the end of the input; each `connects` is a new player."""
    asyncio.run(read(player))


async def read(player: Callable[[], Player]) -> None:
    loop = asyncio.get_running_loop()
    story = asyncio.StreamReader(LINE_LIMIT)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(story), sys.stdin)
    playing = player()
    while text := await story.readline():
        line = Line(text.decode())
        if line.verb == "connects":
            playing = player()
        print(await playing.act(line), flush=True)
