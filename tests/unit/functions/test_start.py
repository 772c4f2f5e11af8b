"""What a cold start imports: each module here is time that every first caller waits."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
# As template.yaml and the Lambda runtime set it.
ON_LAMBDA = {
    "AWS_LAMBDA_FUNCTION_NAME": "function",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "TASKS_TABLE": "tasks",
    "TASKS_QUEUE_URL": "https://sqs.eu-central-1.amazonaws.com/123456789012/tasks",
    "MAIL_BACKEND": "ses",
    "MAIL_FROM": "urlsum@example.org",
    "POWERTOOLS_METRICS_NAMESPACE": "urlsum",
}
# Other stores and queues, and what only the other kind of function or a browser needs.
NEVER = frozenset(
    {"sqlalchemy", "alembic", "pymysql", "redis", "rq", "smtplib", "tqdm", "uvicorn", "dotenv", "requests", "dns"}
)
WEB = frozenset({"fastapi", "starlette", "mangum", "pydantic", "python_multipart"})
UNWANTED = {
    "submit": NEVER | {"jinja2", "aws_lambda_powertools"},
    "check": NEVER | {"jinja2", "aws_lambda_powertools"},
    "hash_worker": NEVER | WEB | {"jinja2"},
    "sweeper": NEVER | WEB | {"jinja2"},
}


def imported(function: str, then: str = "") -> set[str]:
    """The top-level modules that a fresh process has loaded once the function is ready for its first event."""
    code = f"import sys, functions.{function}.app\n{then}\nprint(*sys.modules)"
    process = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src"), **ON_LAMBDA},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return {name.partition(".")[0] for name in process.stdout.split()}


@pytest.mark.parametrize(("function", "unwanted"), UNWANTED.items())
def test_a_cold_start_imports_nothing_that_it_does_not_need(function: str, unwanted: frozenset[str]) -> None:
    assert imported(function) & unwanted == set()


@pytest.mark.parametrize("function", ["submit", "check"])
def test_the_web_functions_have_their_adapters_ready_before_the_first_request(function: str) -> None:
    assert {"pynamodb", "botocore", "mangum"} <= imported(function)


def test_the_worker_wires_itself_without_what_others_need() -> None:
    loaded = imported("hash_worker", "from urlsum.wiring import services; services()")
    assert {"pynamodb", "boto3", "h11"} <= loaded
    assert loaded & UNWANTED["hash_worker"] == set()


def test_who_wants_a_page_is_who_pays_for_it() -> None:
    assert "jinja2" in imported("submit", "import urlsum.web.pages")


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
def test_an_import_reads_no_setting_and_does_no_io(function: str, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("LEASE_SECONDS=0\n")
    process = import_alone(function, tmp_path, {"LEASE_SECONDS": "0"})
    assert (process.returncode, process.stderr, process.stdout) == (0, "", "0 0\n")


@pytest.mark.parametrize("function", ["hash_worker", "sweeper"])
def test_on_lambda_an_import_reads_no_setting_either(function: str, tmp_path: Path) -> None:
    process = import_alone(function, tmp_path, {**ON_LAMBDA, "LEASE_SECONDS": "0"})
    assert (process.returncode, process.stderr, process.stdout) == (0, "", "0 0\n")


def import_alone(function: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-B", "-c", WITHOUT_ANYTHING.replace("FUNCTION", function)],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
