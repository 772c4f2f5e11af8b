"""A client that openapi-python-client generates from docs/openapi.json works from end to end, with types."""

from __future__ import annotations

import importlib
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from scripts.openapi import DOCUMENT
from tests.integration.web.conftest import MD5, NOW, SIZE, changed, failed
from tests.support.web.clients import served
from urlsum.errors import FailureCode
from urlsum.task import Failure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.web.conftest import Backend

pytestmark = pytest.mark.slow

NAME = "urlsum_client"


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("generated")
    command = (sys.executable, "-m", "openapi_python_client", "generate", "--path", str(DOCUMENT), "--meta", "none")
    subprocess.run([*command, "--output-path", str(folder / NAME)], check=True, capture_output=True)
    sys.path.insert(0, str(folder))
    yield lambda module: importlib.import_module(f"{NAME}.{module}")
    sys.path.remove(str(folder))
    for name in [name for name in sys.modules if name.partition(".")[0] == NAME]:
        del sys.modules[name]


@contextmanager
def calling(backend: Backend, generated: Any) -> Iterator[Any]:
    """The generated client of a running server."""
    with (
        served(backend.app()) as server,
        generated("client").Client(base_url=f"http://127.0.0.1:{server.port}") as client,
    ):
        yield client


@pytest.mark.parametrize("body", ["Submission", "SubmissionForm", "SubmissionMultipart"])
def test_a_task_from_its_submission_to_its_digest(backend: Backend, generated: Any, body: str) -> None:
    models, submit, check = generated("models"), generated("api.tasks.submit"), generated("api.tasks.check")
    with calling(backend, generated) as client:
        accepted = submit.sync(client=client, body=getattr(models, body)(url="http://site.com/file.txt", md5=MD5))
        assert isinstance(accepted, models.Accepted)
        assert accepted.check_url.endswith(f"/check?id={accepted.id}")
        waiting = check.sync(client=client, id=accepted.id)
        assert isinstance(waiting, models.Waiting)
        assert (waiting.status, waiting.activity, waiting.progress.bytes_) == ("queued", "waiting", 0)
        task = backend.table.get(str(accepted.id))
        claimed = changed(backend, task, task.claimed(NOW, 90))
        changed(backend, claimed, claimed.done(MD5, SIZE, NOW + 7))
        done = check.sync(client=client, id=accepted.id, prefer="wait=5")
        assert isinstance(done, models.Done)
        assert (done.md5, done.match, done.size, done.seconds) == (MD5, True, SIZE, 7.0)


def test_a_task_that_failed_and_one_that_is_cancelled(backend: Backend, generated: Any) -> None:
    models, check, cancel = generated("models"), generated("api.tasks.check"), generated("api.tasks.cancel")
    submit = generated("api.tasks.submit")
    with calling(backend, generated) as client:
        unlucky = failed(backend, Failure(FailureCode.HTTP, "the server answered with status 404"))
        found = check.sync(client=client, id=unlucky.id)
        assert isinstance(found, models.Failed)
        assert found.error.code == "http"
        accepted = submit.sync(client=client, body=models.Submission(url="http://site.com/file.txt"))
        assert isinstance(cancel.sync(client=client, id=accepted.id), models.Cancelled)
        assert isinstance(check.sync(client=client, id=accepted.id), models.Cancelled)
        assert isinstance(cancel.sync(client=client, id=unlucky.id), models.Problem)


def test_problems_are_typed(backend: Backend, generated: Any) -> None:
    models, submit, check = generated("models"), generated("api.tasks.submit"), generated("api.tasks.check")
    with calling(backend, generated) as client:
        refused = submit.sync(client=client, body=models.Submission(url="file:///etc/passwd"))
        assert isinstance(refused, models.Problem)
        assert (refused.status, refused.field) == (422, "url")
        unknown = check.sync_detailed(client=client, id="0e4fac17-f367-4807-8c28-8a059a2f82ac")
        assert (unknown.status_code, type(unknown.parsed)) == (404, models.Problem)


def test_a_newer_service_may_say_more(generated: Any) -> None:
    """Fields and values that the description does not know are no error."""
    problem = {
        "type": "urn:urlsum:problem:new",
        "title": "New",
        "status": 422,
        "detail": "…",
        "limit": "new",
        "more": 1,
    }
    known = generated("models").Problem.from_dict(problem)
    assert (known.limit, known["more"]) == ("new", 1)
