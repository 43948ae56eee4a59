"""One pipe of the configuration, and the pipeline that runs for it: a new one for each start."""

from __future__ import annotations

from collections.abc import Callable

import anyio

from fustor_core.pipeline import AgentPipeline

Build = Callable[[int, bool], AgentPipeline]


class Berth:
    """Builds a pipeline, with drivers of its own, whenever the pipe is started.

    Args:
        build: makes one of this generation from the configuration as it is now; the second
            argument says that a person has paused the pipe.

    Attributes:
        pipeline: the one of the last start.
        over: set by its owner when `run` is not called again.

    Raises:
        FustorError, OSError: the first one cannot be built.
    """

    def __init__(self, build: Build) -> None:
        self._build = build
        self.pipeline = build(1, False)
        self.over = anyio.Event()
        self._used = self._ends = False
        self._renewed = anyio.Event()

    def __repr__(self) -> str:
        return f"<Berth {'ends' if self._ends else 'stays'} {self.pipeline!r}>"

    @property
    def stays(self) -> bool:
        """Whether a pipeline that has ended is followed by another."""
        return not self._ends

    async def run(self) -> None:
        """Run until `end`; may be called again after it has raised, with everything anew.

        Raises:
            Exception: a driver cannot be built, or a bug.
        """
        while not self._ends:
            if self._used:
                before = self.pipeline
                self.pipeline = self._build(before.generation + 1, before.held)
                self._renewed.set()
                self._renewed = anyio.Event()
            self._used = True
            await self.pipeline.run()

    def restart(self, *, held: bool = False) -> anyio.Event:
        """Stop cleanly and start again, from the configuration as it is then.

        Args:
            held: what a person has paused stays paused.

        Returns:
            Set when the next pipeline is there.
        """
        self.pipeline.held = self.pipeline.held and held
        self.pipeline.stop()
        return self._renewed

    def end(self) -> None:
        """Stop cleanly, for good."""
        self._ends = True
        self.pipeline.stop()

    def stay(self) -> None:
        """Not for good after all: what is about to end is followed by another start."""
        self._ends = False
