"""Every MD5 engine available on this machine, each behind the public class."""

from __future__ import annotations

from urlsum.md5 import MD5
from urlsum.md5.engines import PYTHON, Engine, try_library
from urlsum.md5.native import libraries

NATIVE = [outcome for outcome in map(try_library, libraries()) if isinstance(outcome, Engine)]


def hasher(engine: Engine) -> type[MD5]:
    """Return MD5 as it would be if ``engine`` had been chosen at import."""
    return type(f"MD5 by {engine.name}", (MD5,), {"__slots__": (), "_engine": engine})


NATIVE_HASHERS = [hasher(engine) for engine in NATIVE]
PYTHON_HASHER = hasher(PYTHON)
HASHERS = [*NATIVE_HASHERS, PYTHON_HASHER]
