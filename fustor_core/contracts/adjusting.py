"""What a driver of any kind may promise: to take other options while it is in use."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Adjusting(Protocol):
    """A driver that need not be built anew for each change of its options."""

    def adjust(self, config: Any) -> bool:
        """Take other options, an instance of the driver's `Config`.

        Returns:
            True: all hold from now on. False: one of those that differ needs a new driver; nothing
            has changed.
        """
        ...
