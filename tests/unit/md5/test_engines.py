"""How an engine is found, and that a wrong one is not."""

from __future__ import annotations

import hashlib
import logging
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.support.md5 import NATIVE, PYTHON_HASHER
from urlsum import md5
from urlsum.md5 import engines
from urlsum.md5.native import libraries
from urlsum.md5.python import PythonContext

if TYPE_CHECKING:
    from urlsum.md5.native import Library
    from urlsum.md5.python import Words

OWN = next(libraries())
MISSING = replace(OWN, name="nowhere", filename="libnowhere.so.0")


def test_the_digest_that_engines_are_tested_against_is_hashlibs() -> None:
    assert hashlib.md5(bytes(range(256)), usedforsecurity=False).digest() == engines._EXPECTED


@pytest.mark.skipif(OWN.filename is None, reason="this interpreter has its OpenSSL sealed inside")
def test_the_libcrypto_of_the_interpreter_comes_first() -> None:
    assert md5.engine == OWN.name == "libcrypto of the interpreter"


@pytest.mark.skipif(not NATIVE, reason="no native library on this machine")
def test_a_missing_library_and_a_missing_function_are_passed_over_with_their_reason() -> None:
    unnamed = replace(OWN, name="nameless", symbol="MD5_Nothing")
    engine, refusals = engines.find([MISSING, unnamed, *libraries()])
    assert engine.name == NATIVE[0].name
    assert refusals[0].startswith("nowhere: libnowhere.so.0: cannot open")
    assert refusals[1].startswith("nameless: ")
    assert "MD5_Nothing" in refusals[1]


def test_without_any_library_plain_python_hashes() -> None:
    engine, refusals = engines.find([MISSING])
    assert engine is engines.PYTHON
    assert len(refusals) == 1


USABLE = [library for library in libraries() if library.name in {engine.name for engine in NATIVE}]


# libmd and libcrypto stay out of each other's: on a little-endian machine their layouts are the same.
SWAPS = [(one, other) for one in USABLE for other in USABLE if one.length_first != other.length_first]


@pytest.mark.parametrize(("library", "other"), SWAPS, ids=lambda library: library.name)
def test_a_library_with_another_layout_than_expected_is_refused(library: Library, other: Library) -> None:
    outcome = engines.try_library(replace(library, layout=other.layout))
    assert isinstance(outcome, str)
    assert outcome.startswith(f"{library.name}: ")


class ForgetfulContext(PythonContext):
    """Counts in 32 bits, as a library with a short counter would."""

    __slots__ = ()

    @property
    def count(self) -> int:
        return super().count % 2**32


class RestlessContext(PythonContext):
    """Always begins at the first byte, as a library that cannot resume would."""

    __slots__ = ()

    def __init__(self, words: Words, count: int) -> None:
        super().__init__(engines.INITIAL, count)


class TailBlindContext(PythonContext):
    """Counts whole blocks only, as a library that keeps the tail's length elsewhere would."""

    __slots__ = ()

    @property
    def count(self) -> int:
        return super().count // 64 * 64


class IdleContext(PythonContext):
    """Takes nothing in."""

    __slots__ = ()

    def update(self, data: object) -> None:
        pass


@pytest.mark.parametrize(
    ("context", "reason"),
    [
        (ForgetfulContext, "loses count at 4294967296"),
        (RestlessContext, "cannot resume at 64"),
        (TailBlindContext, "counts 0 after 1 bytes"),
        (IdleContext, "cannot resume at 0"),
    ],
)
def test_the_self_test_sees_each_kind_of_fault(context: type[PythonContext], reason: str) -> None:
    assert engines.fault(context) == reason
    assert engines.fault(PythonContext) is None


def test_plain_python_says_once_at_first_use_that_it_is_slow(caplog: pytest.LogCaptureFixture) -> None:
    md5._warn_slow.cache_clear()
    with caplog.at_level(logging.WARNING, logger="urlsum.md5"):
        first = PYTHON_HASHER()
        PYTHON_HASHER.restore(first.checkpoint()[1])
        PYTHON_HASHER()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "pure Python" in caplog.text


def run_python(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)


def test_an_interpreter_without_ctypes_hashes_in_python_and_complains_when_it_does_not_before() -> None:
    done = run_python(
        "import sys; sys.modules['_ctypes'] = None\n"
        "import logging; logging.basicConfig(format='%(levelname)s %(message)s')\n"
        "from urlsum import md5\n"
        "print('imported', file=sys.stderr)\n"
        "digest = md5.MD5(); digest.update(b'abc'); print(md5.engine, digest.hexdigest())\n"
    )
    assert done.stdout == "pure Python 900150983cd24fb0d6963f7d28e17f72\n"
    before, _, after = done.stderr.partition("imported\n")
    assert before == ""
    assert after.startswith("WARNING MD5 runs in pure Python")
    assert "built without" in after


def test_importing_the_module_loads_nothing_heavy() -> None:
    done = run_python(
        "import sys; from urlsum import md5\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} & "
        "{'fastapi', 'boto3', 'sqlalchemy', 'requests', 'pydantic', 'asyncio', 'typing_extensions'}))\n"
    )
    assert done.stdout == "[]\n"


def test_each_library_is_called_by_its_file_and_has_the_function_of_its_family() -> None:
    functions = {"libcrypto": "MD5_Update", "libmd": "MD5Update", "libnettle": "nettle_md5_update"}
    shared = [library for library in libraries() if library.filename and library.filename == library.name]
    assert {library.name.partition(".")[0] for library in shared} == set(functions)
    assert [library.symbol for library in shared] == [functions[library.name.partition(".")[0]] for library in shared]
    assert all(library.filename is None or "/" in library.filename for library in libraries() if library not in shared)
