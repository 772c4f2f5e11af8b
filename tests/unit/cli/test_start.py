"""How little the command loads: a person waits for it to start."""

from __future__ import annotations

import subprocess
import sys

import pytest

LOADED = """
import sys
from urlsum.cli.main import main
try:
    main({arguments!r})
finally:
    print(*sys.modules, file=sys.stderr)
"""


def loaded_by(*arguments: str) -> set[str]:
    code = LOADED.format(arguments=list(arguments))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return {name.partition(".")[0] for name in done.stderr.splitlines()[-1].split()}


def test_the_end_collects_no_garbage() -> None:
    """Handlers run in reverse order, so this one looks after those of the command."""
    watched = "import atexit, gc\natexit.register(lambda: print(gc.get_freeze_count()))\n"
    run = watched + "from urlsum.cli.main import main\nmain(['--version'])"
    done = subprocess.run([sys.executable, "-c", run], capture_output=True, text=True, check=False)
    frozen = int(done.stdout.splitlines()[-1])
    assert frozen > 1000


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["--nonsense"]])
def test_help_waits_for_nothing(arguments: list[str]) -> None:
    slow = {"msgspec", "ssl", "h11", "ctypes", "requests", "tqdm", "logging"}
    assert loaded_by(*arguments).isdisjoint(slow)


def test_hashing_loads_no_service_and_no_watcher() -> None:
    loaded = loaded_by("http://127.0.0.1/")  # refused by the guard, after everything is loaded
    assert "h11" in loaded
    unwanted = {
        "fastapi",
        "starlette",
        "sqlalchemy",
        "boto3",
        "botocore",
        "pynamodb",
        "redis",
        "jinja2",
        "requests",
        "pydantic",
    }
    assert loaded.isdisjoint(unwanted | {"tqdm", "email_validator"})
