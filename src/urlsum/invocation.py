"""What a function knows of its own invocation."""

from __future__ import annotations

from typing import Protocol


class Context(Protocol):
    """The part of the Lambda context that is used here; the self-hosted processes bring their own."""

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until this invocation is ended from outside."""
        ...
