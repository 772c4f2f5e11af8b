"""Measure urlsum against what people use today: `make bench`, or `make bench ARGS="http memory"`.

Prints a table per case and writes it into bench/README.md.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from bench import listed, memory, several, small, stages, transfers
from bench.measure import say
from bench.report import machine, section, written
from bench.workspace import PACKAGES, Case, Workspace, compile_sources, missing

CASES = [*transfers.CASES, *memory.CASES, *small.CASES, *listed.CASES, *several.CASES, *stages.CASES]
README = Path(__file__).with_name("README.md")


def main() -> int:
    """Measure the named cases, or all; the exit status is 1 if any figure misses its bound."""
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(case.key for case in CASES))
    parser.add_argument("--rounds", type=int, help="instead of each case's own number")
    parser.add_argument("--folder", type=Path, help="where 17 GB of files may go (default: the temporary folder)")
    parser.add_argument("--dry", action="store_true", help="do not write bench/README.md")
    options = parser.parse_args()
    known = {case.key: case for case in CASES}
    if unknown := [name for name in options.cases if name not in known]:
        parser.error(f"no such case: {', '.join(unknown)}")
    chosen = [known[name] for name in options.cases] or CASES
    if not _ready(chosen):
        return 2
    compile_sources()
    # nginx drops root privileges but must still read its files.
    os.umask(0o022)
    met = True
    with tempfile.TemporaryDirectory(prefix="urlsum-bench-", dir=options.folder) as folder:
        Path(folder).chmod(0o755)
        workspace = Workspace(Path(folder))
        for each in chosen:
            case = replace(each, rounds=options.rounds) if options.rounds else each
            say(f"{case.key}: {case.title}")
            workspace.rounds = case.rounds
            load = os.getloadavg()[0]
            rows = case.measure(workspace)
            met = met and not any(row.met is False for row in rows)
            text = section(case, rows, datetime.now(UTC).date(), load)
            sys.stdout.write(text + "\n")
            sys.stdout.flush()
            if not options.dry:
                README.write_text(written(README.read_text(), machine(), case.key, text))
    return 0 if met else 1


def _ready(chosen: list[Case]) -> bool:
    """Whether all programs and rights are present; nothing is installed silently."""
    ready = True
    for case in chosen:
        if lacking := missing(case.programs):
            packages = " ".join(PACKAGES[name] for name in lacking)
            say(f"{case.key} needs {', '.join(lacking)}; on Debian: apt-get install --no-install-recommends {packages}")
            ready = False
        if case.root and os.geteuid() != 0:
            say(f"{case.key} makes network namespaces, which takes root")
            ready = False
    return ready


if __name__ == "__main__":
    sys.exit(main())
