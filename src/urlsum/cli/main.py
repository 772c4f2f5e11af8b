"""The command ``urlsum``: parses the arguments, and runs what they ask for."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from typing import TYPE_CHECKING

from urlsum.cli.options import parse

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    # As Python ends, its collector looks through every module, only to free what the process returns anyway: an eighth
    # of the CPU time of a run with a small file.
    atexit.register(gc.freeze)
    options = parse(arguments, os.environ)
    # Imported after the arguments are valid: --help and a typo need not wait for the imports of hashing.
    from urlsum.cli.run import run  # noqa: PLC0415

    return run(options)


if __name__ == "__main__":
    sys.exit(main())
