"""What a driver of any kind may promise: to take other options, or files, while it is in use."""

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


@runtime_checkable
class Renewing(Protocol):
    """A driver that was given files which others renew: certificates."""

    def renew(self) -> bool:
        """Read them again, at each reload that does not build the driver anew.

        Returns:
            False: they are as they were.

        Raises:
            FustorError, OSError: they cannot be used; it goes on with those before.
        """
        ...
