"""Put faults into the sources, one at a time, and report which of them no test notices.

Exit status 1 if the tests notice a smaller share of the noticeable mutants than LEAST_CAUGHT, or if more than
MOST_INVALID cannot be made.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import time
import tomllib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.mutants.faults import mutants
from scripts.mutants.trial import Trial, run

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scripts.mutants.faults import Mutant

# The sources that get faults, and the tests that should notice them: those without containers and processes.
SOURCES = [
    "src/urlsum/origin",
    "src/urlsum/worker",
    "src/urlsum/md5",
    "src/urlsum/tables",
    "src/urlsum/task.py",
    "src/urlsum/service.py",
    "src/urlsum/deadline.py",
    *(f"src/urlsum/{name}" for name in ("limits", "mail", "health", "text", "outage.py", "api_keys.py")),
]
TESTS = [
    "tests/unit/origin",
    "tests/unit/worker",
    "tests/unit/md5",
    *(f"tests/unit/{name}" for name in ("limits", "mail", "text")),
    *(f"tests/unit/test_{name}.py" for name in ("deadline", "rows", "service", "task")),
    *(f"tests/unit/test_{name}.py" for name in ("api_keys", "health", "meeting", "outage", "watched")),
    "tests/contract/tables",
    *(f"tests/contract/test_{name}.py" for name in ("mail", "outbox", "ses", "smtp", "suppression")),
    "tests/integration/origin",
    "tests/integration/faults",
    *(f"tests/integration/worker/test_{name}.py" for name in ("batch", "origin_limit", "reuse")),
    *(f"tests/integration/web/test_{name}.py" for name in ("submit", "unsubscribe")),
]
LEAST_CAUGHT = 0.95
# Some 3 % cannot be made, such as a network that is no address. With more, the tool has lost sight of the code.
MOST_INVALID = 0.1
STORE = Path("build/mutants.json")
RESULTS = Path("build/mutants-results.jsonl")
EQUIVALENT = Path(__file__).with_name("equivalent.toml")


def files(paths: Iterable[str]) -> list[Path]:
    """The modules at and below ``paths``."""
    modules = [[Path(path)] if path.endswith(".py") else sorted(Path(path).rglob("*.py")) for path in paths]
    return [path.resolve() for paths in modules for path in paths]


def equivalents() -> dict[str, str]:
    """The reasons why no test can notice certain mutants, by the beginning of the mutant's id."""
    groups = tomllib.loads(EQUIVALENT.read_text(encoding="utf-8"))["equivalent"]
    return {name: group["why"] for group in groups for name in group["mutants"]}


def main() -> int:
    """Read the arguments and return the exit status."""
    parser = argparse.ArgumentParser(prog="mutants", description=__doc__.partition("\n")[0])
    parser.add_argument("--sample", type=int, metavar="N", help="try N of them, chosen by --seed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="modules or functions")
    parser.add_argument("--survivors", action="store_true", help="try those that survived the last time")
    parser.add_argument("--budget", type=float, default=30.0, help="seconds of tests for each, the fastest first")
    parser.add_argument("--minutes", type=float, help="end after so many minutes of trials")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # like Ctrl-C, so that no fork stays behind
    reasons = equivalents()
    sources = files(SOURCES)
    if named := [path for path in sources if {path.stem, path.parent.name}.intersection(options.only)]:
        sources = named
    chosen = [mutant for path in sources for mutant in mutants(path) if _selected(mutant, options.only)]
    # In random order, so that an interrupted run is a fair sample, too.
    random.Random(options.seed).shuffle(chosen)  # noqa: S311
    if options.sample:
        chosen = chosen[: options.sample]
    if options.survivors:
        results = [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()]
        last = {(one["file"], one["id"]): one["outcome"] for one in results}
        chosen = [one for one in chosen if last.get((_file(one), one.id)) in ("survived", "untested")]
    outcomes: dict[str, Counter[str]] = {}

    def work(trial: Trial) -> None:
        began = time.monotonic()
        with RESULTS.open("a", encoding="utf-8") as log:
            for number, mutant in enumerate(chosen, 1):
                if options.minutes and time.monotonic() - began > options.minutes * 60:
                    print(f"  ended after {number - 1} of {len(chosen)}")
                    break
                why = next((why for name, why in reasons.items() if mutant.id.startswith(name)), None)
                verdict = trial.judge(mutant)
                if why and verdict.outcome != "caught":
                    verdict.outcome = "equivalent"
                outcomes.setdefault(_file(mutant), Counter())[verdict.outcome] += 1
                line = {"file": _file(mutant), "line": min(mutant.lines), "id": mutant.id, **vars(verdict)}
                print(json.dumps(line), file=log, flush=True)
                if verdict.outcome in ("survived", "untested"):
                    left = f" ({verdict.left_out} slow tests left out)" if verdict.left_out else ""
                    print(f"{line['file']}:{line['line']} {verdict.outcome}{left}: {mutant.id}", flush=True)
                if number % 100 == 0:
                    print(f"  {number} of {len(chosen)} in {time.monotonic() - began:.0f} s", flush=True)

    run(TESTS, Trial(files(["src/urlsum"]), STORE, options.budget, work))
    return _report(outcomes)


def _file(mutant: Mutant) -> str:
    return str(mutant.path.relative_to(Path.cwd()))


def _selected(mutant: Mutant, only: list[str]) -> bool:
    return not only or any(name in (mutant.path.stem, mutant.path.parent.name, mutant.scope) for name in only)


def _report(outcomes: dict[str, Counter[str]]) -> int:
    total: Counter[str] = Counter()
    columns = ("caught", "survived", "untested", "equivalent", "invalid")
    print(f"\n{'':40}" + "".join(f"{name:>12}" for name in columns))
    for name, counts in sorted(outcomes.items()):
        total += counts
        print(f"{name:40}" + "".join(f"{counts[column]:12}" for column in columns))
    print(f"{'all':40}" + "".join(f"{total[column]:12}" for column in columns))
    noticeable = total["caught"] + total["survived"] + total["untested"]
    share = total["caught"] / noticeable if noticeable else 1.0
    print(f"{share:.1%} of {noticeable} were caught")
    if total["invalid"] > MOST_INVALID * total.total():
        print(f"{total['invalid']} of {total.total()} could not be made: the results say little")
        return 1
    return 0 if share >= LEAST_CAUGHT else 1


if __name__ == "__main__":
    sys.exit(main())
