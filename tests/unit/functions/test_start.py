"""What a cold start imports: each module here is time that every first caller waits."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
# As template.yaml and the Lambda runtime set it.
ON_LAMBDA = {
    "AWS_LAMBDA_FUNCTION_NAME": "function",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "id",
    "AWS_SECRET_ACCESS_KEY": "key",
    "AWS_SESSION_TOKEN": "token",
    "TASKS_TABLE": "tasks",
    "TASKS_QUEUE_URL": "https://sqs.eu-central-1.amazonaws.com/123456789012/tasks",
    "SECRET_PARAMETER": "/urlsum/urlsum/secret",
    "MAIL_BACKEND": "ses",
    "MAIL_FROM": "urlsum@example.org",
}
# Other stores and queues, and what only the other kind of function or a browser needs.
NEVER = frozenset(
    {"sqlalchemy", "alembic", "pymysql", "redis", "rq", "smtplib", "tqdm", "uvicorn", "dotenv", "requests", "dns"}
    | {"boto3", "s3transfer"}
)
WEB = frozenset({"fastapi", "starlette", "mangum", "pydantic", "python_multipart"})
UNWANTED = {
    "submit": NEVER | {"jinja2"},
    "check": NEVER | {"jinja2"},
    "hash_worker": NEVER | WEB | {"jinja2"},
    "sweeper": NEVER | WEB | {"jinja2"},
}


# Starts a function once; a fork of it executes each line of input, a Python literal. The start takes half a second.
STARTED = """
import os, sys, functions.FUNCTION.app
for line in sys.stdin:
    if os.fork() == 0:
        try:
            exec(eval(line))
            print(*sys.modules, flush=True)
            os._exit(0)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(1)
    print(chr(0), os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
"""


@cache
def started(function: str) -> subprocess.Popen[str]:
    """A process in which the function is ready for its first event."""
    return subprocess.Popen(
        [sys.executable, "-c", STARTED.replace("FUNCTION", function)],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src"), **ON_LAMBDA},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture(scope="module", autouse=True)
def _ended() -> Iterator[None]:
    yield
    for function in UNWANTED:
        started(function).communicate()
    started.cache_clear()


def imported(function: str, then: str = "") -> set[str]:
    """The top-level modules that a process has loaded once the function is ready for its first event.

    A fork of its own executes ``then``, and fails the test if that does.
    """
    process = started(function)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{then!r}\n")
    process.stdin.flush()
    shown: list[str] = []
    for line in process.stdout:
        if line.startswith("\0"):
            assert line == "\0 0\n", "".join(shown)
            return {name.partition(".")[0] for name in shown[-1].split()}
        shown.append(line)
    raise AssertionError("".join(shown))


@pytest.mark.parametrize(("function", "unwanted"), UNWANTED.items())
def test_a_cold_start_imports_nothing_that_it_does_not_need(function: str, unwanted: frozenset[str]) -> None:
    assert imported(function) & unwanted == set()


@pytest.mark.parametrize("function", ["submit", "check"])
def test_the_web_functions_have_their_adapters_ready_before_the_first_request(function: str) -> None:
    assert {"pynamodb", "botocore", "mangum"} <= imported(function)


def test_the_worker_wires_itself_without_what_others_need() -> None:
    loaded = imported("hash_worker", "from urlsum.wiring import services; services()")
    assert {"pynamodb", "botocore", "h11"} <= loaded
    assert loaded & UNWANTED["hash_worker"] == set()


def test_who_wants_a_page_is_who_pays_for_it() -> None:
    assert "jinja2" in imported("submit", "import urlsum.web.pages")


@pytest.mark.parametrize("function", UNWANTED)
def test_few_classes_are_compiled_in_a_cold_start(function: str) -> None:
    # Each dataclass takes 0.6 ms; these are replaced field by field in many places, or hold what msgspec does not know.
    known = "Task Representation Checkpoint Failure Tuning Services Engine Library Swept"
    imported(
        function,
        "from urlsum.wiring import prepare; prepare()\n"
        "found = {\n"
        "    value.__name__ for name, module in list(sys.modules.items()) if name.startswith('urlsum')\n"
        "    for value in vars(module).values() if isinstance(value, type)\n"
        "    and value.__module__ == name and '__dataclass_fields__' in vars(value)\n"
        "}\n"
        f"assert found and found <= set({known!r}.split()), found",
    )


@pytest.mark.parametrize(("function", "needed"), [("submit", False), ("check", True)])
def test_the_models_of_tasks_are_ready_where_tasks_are_checked_and_nowhere_else(function: str, needed: bool) -> None:
    imported(function, f"assert ('urlsum.web.task_models' in sys.modules) is {needed}")


# A wrong setting, in the environment and in a file; whatever is opened for writing, looked up or connected fails.
WITHOUT_ANYTHING = """
import sys
def refuse(event, arguments):
    if event.startswith("socket."):
        raise PermissionError(event)
    if event == "open" and (str(arguments[0]).endswith(".env") or set(arguments[1] or "") & set("wax+")):
        raise PermissionError(arguments[0])
sys.addaudithook(refuse)
import functions.FUNCTION.app
from urlsum import settings, wiring
print(settings.load.cache_info().misses, wiring.services.cache_info().misses)
"""


@pytest.mark.parametrize("function", UNWANTED)
def test_elsewhere_an_import_reads_no_setting_and_does_no_io(function: str, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("LEASE_SECONDS=0\n")
    process = import_alone(function, tmp_path, {"LEASE_SECONDS": "0"})
    assert (process.returncode, process.stderr, process.stdout) == (0, "", "0 0\n")


@pytest.mark.parametrize("function", UNWANTED)
def test_on_lambda_an_import_wires_everything_and_contacts_nothing(function: str, tmp_path: Path) -> None:
    process = import_alone(function, tmp_path, ON_LAMBDA)
    assert (process.returncode, process.stderr, process.stdout) == (0, "", "1 1\n")


@pytest.mark.parametrize("function", UNWANTED)
def test_on_lambda_a_wrong_setting_stops_the_start(function: str, tmp_path: Path) -> None:
    process = import_alone(function, tmp_path, {**ON_LAMBDA, "LEASE_SECONDS": "0"})
    assert (process.returncode, process.stdout) == (1, "")
    assert "SettingsError: LEASE_SECONDS" in process.stderr


@pytest.mark.parametrize("function", UNWANTED)
def test_the_garbage_collector_rests_in_the_init_phase_and_leaves_alone_what_that_made(function: str) -> None:
    imported(
        function,
        "import gc\n"
        "assert gc.isenabled()\n"
        "assert gc.get_freeze_count() > 50_000\n"
        # Since the start of Python, which has a few thousand objects.
        "assert gc.get_stats()[2]['collections'] == 0, gc.get_stats()",
    )


@pytest.mark.parametrize("function", ["submit", "check"])
def test_on_lambda_no_endpoint_and_no_dependency_needs_a_thread(function: str) -> None:
    imported(
        function,
        "from inspect import iscoroutinefunction\n"
        "from urlsum.web.application import Route\n"
        f"app = functions.{function}.app.app\n"
        "routes = [route for route in functions." + function + ".app.router.routes]\n"
        "assert routes and all(isinstance(route, Route) for route in routes)\n"
        "pending = [route.dependant for route in routes]\n"
        "for dependant in pending:\n"
        "    assert iscoroutinefunction(dependant.call), dependant.call\n"
        "    pending += dependant.dependencies",
    )


def test_elsewhere_the_garbage_collector_is_left_alone() -> None:
    code = "import gc, functions.submit.app; print(gc.isenabled(), gc.get_freeze_count())"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src")}
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert process.stdout == "True 0\n"


def test_the_init_phase_of_the_worker_makes_every_client_and_the_tls_context_of_downloads() -> None:
    made = imported(
        "hash_worker",
        "import gc\n"
        "gc.unfreeze()\n"
        "from botocore.client import BaseClient\n"
        "from urlsum.origin.http11 import tls\n"
        "clients = [type(found).__name__ for found in gc.get_objects() if isinstance(found, BaseClient)]\n"
        "assert sorted(clients) == ['DynamoDB', 'SESV2', 'SQS', 'SSM'], clients\n"
        "assert tls.context.cache_info().currsize == 1",
    )
    assert "urlsum" in made


def import_alone(function: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-B", "-c", WITHOUT_ANYTHING.replace("FUNCTION", function)],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
