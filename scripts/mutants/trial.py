"""Runs tests against mutants, each in a fork of one pytest process, which saves the imports."""

from __future__ import annotations

import ast
import functools
import gc
import hashlib
import importlib
import json
import os
import re
import resource
import select
import signal
import sys
import time
import types
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import coverage
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from scripts.mutants.faults import Mutant

# A test that takes this many times longer than before is in an endless loop or a deadlock.
SLOWER = 4
# Added to that, because on a busy machine very short tests vary more.
GRACE_SECONDS = 10.0
# Limit of a fork's memory beyond that of pytest: an endless loop that appends must not exhaust the machine.
MEMORY_BYTES = 4 * 2**30


@dataclass
class Known:
    """The baseline of a test: its seconds, and the lines of each source file that it ran."""

    seconds: float
    lines: dict[str, int]  # a set of line numbers, as bits

    def runs(self, path: str, lines: Iterable[int]) -> bool:
        """Whether the test ran one of ``lines``."""
        bits = self.lines.get(path, 0)
        return any(bits >> line & 1 for line in lines)


@dataclass
class Verdict:
    """``outcome`` is caught, survived, untested (no test runs the lines) or invalid (the mutant cannot be made)."""

    outcome: str
    seconds: float = 0.0
    by: str = ""
    left_out: int = 0


@dataclass(eq=False)  # pytest keeps plugins in sets
class Trial:
    """A pytest plugin that calls ``work`` after the tests are collected and their baseline is measured."""

    sources: list[Path]
    store: Path
    budget: float
    work: Callable[[Trial], None]
    known: dict[str, Known] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._items: dict[str, pytest.Item] = {}
        self._failed = False
        self._catchers: dict[str, Counter[str]] = {}

    def pytest_configure(self) -> None:
        """Make Hypothesis generate the same examples each time, without any that a mutant left in its database."""
        settings = importlib.import_module("hypothesis").settings  # imported after pytest has loaded its plugin
        settings.register_profile("mutants", derandomize=True, database=None)
        settings.load_profile("mutants")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Record that a test failed."""
        self._failed |= report.failed

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Replace pytest's own loop."""
        self._items = {item.nodeid: item for item in session.items}
        self._measure()
        # tests/conftest.py freezes what was collected, and gc.get_objects leaves out what is frozen.
        gc.unfreeze()
        self._functions = _functions(self.sources)
        self._caches = [each for each in gc.get_objects() if isinstance(each, functools._lru_cache_wrapper)]
        gc.collect()
        gc.freeze()
        self.work(self)
        return True

    # --- the baseline

    def _measure(self) -> None:
        """Measure which lines each test runs. ``store`` caches the results for unchanged files."""
        base = _digest(*self.sources, *Path("tests/support").rglob("*.py"), *Path("tests").rglob("conftest.py"))
        stored = json.loads(self.store.read_text(encoding="utf-8")) if self.store.exists() else {}
        keys = {item.nodeid: f"{base} {_digest(item.path)} {item.nodeid}" for item in self._items.values()}
        missing = [item for nodeid, item in self._items.items() if keys[nodeid] not in stored]
        print(f"\n{len(missing)} of {len(self._items)} tests are measured")
        measured = {keys[nodeid]: value for nodeid, value in self._measured(missing)}
        kept = {key: stored.get(key) or measured[key] for key in keys.values() if key in stored or key in measured}
        self.store.write_text(json.dumps(kept), encoding="utf-8")
        for nodeid, key in keys.items():
            seconds, lines = kept[key]
            if seconds is not None:  # None if the test fails without a mutant
                self.known[nodeid] = Known(seconds, {path: int(bits, 16) for path, bits in lines.items()})

    def _measured(self, items: list[pytest.Item]) -> Iterator[tuple[str, tuple[float | None, dict[str, str]]]]:
        measure = coverage.Coverage(data_file=None, include=[str(path) for path in self.sources], messages=False)
        seconds: dict[str, float | None] = {}
        for item, following in zip_longest(items, items[1:]):
            measure.start()
            measure.switch_context(item.nodeid)
            began, self._failed = time.monotonic(), False
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            measure.stop()
            seconds[item.nodeid] = None if self._failed else time.monotonic() - began
        lines: dict[str, dict[str, int]] = {nodeid: {} for nodeid in seconds}
        data = measure.get_data()
        for path in data.measured_files():
            for line, nodeids in data.contexts_by_lineno(path).items():
                for nodeid in filter(None, nodeids):
                    lines[nodeid][path] = lines[nodeid].get(path, 0) | 1 << line
        for nodeid, took in seconds.items():
            yield nodeid, (took, {path: f"{bits:x}" for path, bits in lines[nodeid].items()})

    # --- one mutant

    def judge(self, mutant: Mutant) -> Verdict:
        """Run the tests that run the mutant's lines, in a fork, until one fails."""
        ids = self._chosen(mutant)
        if not ids:
            return Verdict("untested")
        kept: list[str] = []
        total = 0.0
        for nodeid in ids:
            total += self.known[nodeid].seconds
            if kept and total > self.budget:
                break
            kept.append(nodeid)
        began = time.monotonic()
        outcome, by = self._forked(mutant, kept)
        if outcome == "caught":
            self._catchers.setdefault(mutant.scope, Counter())[by] += 1
        return Verdict(outcome, time.monotonic() - began, by, len(ids) - len(kept))

    def _chosen(self, mutant: Mutant) -> list[str]:
        """The tests to run: first the one that caught most in the same function, then the fastest first."""
        if mutant.first:
            places = [(str(mutant.path), set(mutant.lines))]
        else:  # a constant: wherever its name stands
            word = re.compile(rf"\b({'|'.join(_constants(mutant))})\b")
            places = [
                (str(path), {at for at, line in enumerate(path.read_text().split("\n"), 1) if word.search(line)})
                for path in self.sources
            ]
        chosen = [
            nodeid for nodeid, known in self.known.items() if any(known.runs(path, lines) for path, lines in places)
        ]
        best = [nodeid for nodeid, _ in self._catchers.get(mutant.scope, Counter()).most_common(1)]
        return sorted(chosen, key=lambda nodeid: (nodeid not in best, self.known[nodeid].seconds))

    def _forked(self, mutant: Mutant, ids: list[str]) -> tuple[str, str]:
        """The outcome, and the test that decided it. No process of the fork outlives this call."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            try:
                self._child(mutant, ids, writing)
            finally:
                os._exit(0)
        os.close(writing)
        current = ids[0]
        try:
            while True:
                limit = GRACE_SECONDS + 2 * self._limit(current)
                if not select.select([reading], [], [], limit)[0]:
                    return "caught", f"{current} (hangs)"
                lines = os.read(reading, 65_536).decode().split("\n")[:-1]
                if not lines:
                    return "caught", f"{current} (dies)"
                for line in lines:
                    word, _, rest = line.partition(" ")
                    if word != "test":
                        return word, rest
                    current = rest
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.close(reading)

    def _child(self, mutant: Mutant, ids: list[str], writing: int) -> None:
        def report(line: str) -> None:
            os.write(writing, f"{line}\n".encode())

        os.setpgid(0, 0)
        for descriptor in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, used + MEMORY_BYTES))
        for cache in self._caches:
            cache.cache_clear()
        try:
            self._apply(mutant)
        except Exception as exc:  # noqa: BLE001 - a mutated line may raise any exception
            report(f"invalid {exc!r}"[:200].replace("\n", " "))
            return
        items = [self._items[nodeid] for nodeid in ids]
        for item, following in zip(items, [*items[1:], None], strict=True):
            report(f"test {item.nodeid}")
            item.add_marker(pytest.mark.timeout(self._limit(item.nodeid)), append=False)
            self._failed = False
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self._failed:
                # Ends all fixtures, so that they remove what they created outside this process, such as databases.
                item.session._setupstate.teardown_exact(None)
                report(f"caught {item.nodeid}")
                return
        report("survived ")

    def _limit(self, nodeid: str) -> float:
        return GRACE_SECONDS + SLOWER * self.known[nodeid].seconds

    def _apply(self, mutant: Mutant) -> None:
        """Insert the fault into the loaded modules: every function with that code, or every use of that constant."""
        path = str(mutant.path)
        if mutant.first:
            module_code = compile(mutant.source, path, "exec", dont_inherit=True)
            codes = [code for code in _codes(module_code) if (code.co_qualname, code.co_firstlineno) == _key(mutant)]
            functions = self._functions.get((path, *_key(mutant)), [])
            if len(codes) != 1 or not functions:
                raise LookupError(mutant.scope)
            for function in functions:
                function.__code__ = codes[0]
            return
        module = next(module for module in list(sys.modules.values()) if getattr(module, "__file__", None) == path)
        before, after = vars(module), dict(vars(module))
        changed = _constants(mutant)
        for name, statement in changed.items():
            exec(compile(ast.Module([statement], []), path, "exec", dont_inherit=True), after)  # noqa: S102
            for user in list(sys.modules.values()):
                ours = user is not module and user.__name__.startswith(("urlsum", "tests"))
                if ours and vars(user).get(name) is before[name]:
                    setattr(user, name, after[name])
        before.update({name: after[name] for name in changed})


def _key(mutant: Mutant) -> tuple[str, int]:
    return mutant.scope, mutant.first


def _constants(mutant: Mutant) -> dict[str, ast.stmt]:
    """The statements that define the mutant's constant and those that depend on it, by name, in source order."""
    statements: dict[str, ast.stmt] = {}
    for statement in ast.parse(mutant.source).body:
        match statement:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=ast.expr() as value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ):
                used = {node.id for node in ast.walk(value) if isinstance(node, ast.Name)}
                if name == mutant.scope or used & statements.keys():
                    statements[name] = statement
    return statements


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _functions(sources: list[Path]) -> dict[tuple[str, str, int], list[types.FunctionType]]:
    """The functions of the source files, by file, qualified name and first line. Several may share one code object."""
    paths = {str(path) for path in sources}
    functions: dict[tuple[str, str, int], list[types.FunctionType]] = {}
    for each in gc.get_objects():
        if isinstance(each, types.FunctionType) and each.__code__.co_filename in paths:
            code = each.__code__
            functions.setdefault((code.co_filename, code.co_qualname, code.co_firstlineno), []).append(each)
    return functions


def _digest(*paths: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def run(tests: list[str], trial: Trial) -> None:
    """Collect ``tests`` and run ``trial`` on them."""
    options: list[Any] = ["-q", "--capture=no", "--no-header", "-p", "no:cacheprovider", "-r", ""]
    code = pytest.main([*options, "-m", "not long and not sam and not docker and not browser", *tests], plugins=[trial])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED):
        raise SystemExit(int(code))
