"""The tasks of the measurement: one that is hashed and emailed, and one that is cancelled."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from scripts.smoke_aws.account import SmokeError, check_sender, client, deploy, file_in_s3, pause, say, stack
from scripts.smoke_aws.findings import Findings, read_logs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import httpx

    from scripts.smoke_aws.account import Options

# The file takes 15 s at 600 Mbit/s. It may have a sixteenth of that rate, which is a finding, too.
DONE_SECONDS = 240.0
# An email follows the result within a second; the first retry comes after a minute.
EMAIL_SECONDS = 90.0
# A task is cancelled while it runs; if none does so by then, while it is queued.
RUNNING_SECONDS = 20.0


class Service:
    """The API of the stack."""

    def __init__(self, http: httpx.Client, url: str) -> None:
        self._http = http
        self._url = url

    def submit(self, **members: str) -> str:
        """The id of a new task."""
        task_id: str = self._json(self._http.post(f"{self._url}/submit", data=members))["id"]
        return task_id

    def check(self, task_id: str) -> dict[str, Any]:
        """What /check says of a task."""
        return self._json(self._http.get(f"{self._url}/check", params={"id": task_id}))

    def cancel(self, task_id: str) -> dict[str, Any]:
        """Cancel a task."""
        return self._json(self._http.delete(f"{self._url}/check", params={"id": task_id}))

    def wait(self, task_id: str, states: Sequence[str], seconds: float) -> dict[str, Any]:
        """Poll until the task is in one of ``states``, or for so many seconds; return the last response."""
        deadline = time.monotonic() + seconds
        while (found := self.check(task_id))["status"] not in states and time.monotonic() < deadline:
            pause()
        return found

    @staticmethod
    def _json(response: httpx.Response) -> dict[str, Any]:
        found = response.json()
        if not isinstance(found, dict) or "id" not in found:
            raise SmokeError(f"{response.request.method} {response.request.url}: {response.status_code} {found}")
        return found


def hash_file(service: Service, url: str, md5: str, recipient: str, names: Mapping[str, str]) -> tuple[int, float]:
    """Let the service hash the file, and email the result; return the size and the seconds until the email was sent."""
    began = time.monotonic()
    task_id = service.submit(url=url, email=recipient)
    found = service.wait(task_id, ("done", "failed", "cancelled"), DONE_SECONDS)
    if found.get("md5") != md5:
        raise SmokeError(f"the MD5 should be {md5}, but /check says {found}")
    table = client("dynamodb")
    mail, deadline = "", time.monotonic() + EMAIL_SECONDS
    while time.monotonic() < deadline and mail != "sent":
        row = table.get_item(TableName=names["TasksTableName"], Key={"id": {"S": task_id}}, ConsistentRead=True)
        mail = row["Item"]["mail"]["S"]
        if mail != "sent":
            pause()
    if mail != "sent":
        raise SmokeError(f"the email is {mail}; the worker's log says why")
    return found["size"], time.monotonic() - began


def cancel_one(service: Service, url: str) -> str:
    """Cancel a task that reads the file, and return the state that it was in."""
    task_id = service.submit(url=url, fresh="true")
    state: str = service.wait(task_id, ("running",), RUNNING_SECONDS)["status"]
    ended = service.cancel(task_id)["status"]
    if ended != "cancelled":
        raise SmokeError(f"the task should be cancelled, but is {ended}")
    return state


def smoke(options: Options, http: httpx.Client, make: Callable[[Options], None] = deploy) -> Findings:
    """Deploy, measure, delete. Raises SmokeError, BuildError, and the errors of boto3 and httpx."""
    check_sender(options)
    found, since = Findings(), time.time()
    with ExitStack() as ending:
        say(f"Deploying {options.stack} …")
        names = ending.enter_context(stack(options, make))
        say("Making the file …")
        url, md5 = ending.enter_context(file_in_s3(options.part_bytes))
        service = Service(http, names["ApiUrl"])
        say("Hashing it …")
        found.bytes, found.email_seconds = hash_file(service, url, md5, options.recipient, names)
        found.cancelled = cancel_one(service, url)
        say("Reading the logs …")
        read_logs(names, since, found)
    return found
