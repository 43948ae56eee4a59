from collections.abc import Callable
from typing import Final

FORMAT: Final[int]

def read(
    fd: int, stopped: Callable[[], bool]
) -> tuple[bytes, bytes, dict[bytes, tuple[int, int, int | None, int, int, bool]]] | None: ...
