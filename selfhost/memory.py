"""The memory limit of this process's container: whether work fits into it, and whether the kernel killed for it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from urlsum.errors import SettingsError

MIB = 2**20
# A worker that reads over several connections took 90 MiB, and eight of them may buffer 56 MiB beside the 70 MiB of one
# that reads over a single connection. The server alone took 68 MiB.
LEAST_BYTES = 128 * MIB

CGROUPS = Path("/sys/fs/cgroup")
# By version of cgroups: https://docs.kernel.org/admin-guide/cgroup-v2.html and …/cgroup-v1/memory.html
LIMITS = ("memory.max", "memory/memory.limit_in_bytes")
EVENTS = ("memory.events", "memory/memory.oom_control")


def limit(cgroups: Path = CGROUPS) -> int | None:
    """The limit in bytes, None if there is none or it cannot be read."""
    for name in LIMITS:
        with suppress(OSError, ValueError):  # "max" is no limit
            found = int((cgroups / name).read_text(encoding="ascii"))
            # cgroup v1 writes the largest multiple of a page where no limit is set.
            return found if found < 2**62 else None
    return None


def kills(cgroups: Path = CGROUPS) -> int:
    """How many processes of this container the kernel has killed because the limit was reached."""
    for name in EVENTS:
        with suppress(OSError, ValueError):
            counts = dict(line.split() for line in (cgroups / name).read_text(encoding="ascii").splitlines())
            return int(counts.get("oom_kill", 0))
    return 0


def check(cgroups: Path = CGROUPS) -> None:
    """Raise SettingsError if the limit is below what a worker needs: the kernel would kill it at its first file."""
    most = limit(cgroups)
    if most is not None and most < LEAST_BYTES:
        raise SettingsError(
            f"this container may use {most // MIB} MiB of memory, and needs {LEAST_BYTES // MIB}: raise its limit"
            " (mem_limit in compose, --memory of docker run)"
        )


class KilledForMemory:
    """Notices that the kernel has killed for memory since the last look."""

    def __init__(self, cgroups: Path = CGROUPS) -> None:
        self._cgroups = cgroups
        self._seen = kills(cgroups)

    def look(self) -> str | None:
        """What to log if so, else None."""
        before, self._seen = self._seen, kills(self._cgroups)
        if self._seen == before:
            return None
        most = limit(self._cgroups)
        known = "" if most is None else f" of {most // MIB} MiB"
        return f"killed for memory: the limit{known} is too low, see mem_limit in compose or --memory of docker run"
