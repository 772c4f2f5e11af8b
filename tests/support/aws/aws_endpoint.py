"""A scripted endpoint for boto3, for faults that moto cannot simulate."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Answer:
    """One response: after ``pause`` seconds, a status and a JSON body, or no response if ``status`` is None."""

    status: int | None = 200
    body: dict[str, Any] = field(default_factory=dict)
    pause: float = 0.0


def error(status: int, code: str) -> Answer:
    """Return the error response of AWS's JSON services."""
    return Answer(status, {"__type": f"com.amazonaws#{code}", "message": f"the message of {code}"})


HANG_UP = Answer(None)


class AwsEndpoint(ThreadingHTTPServer):
    """Sends the scripted responses in order, repeats the last one, and records the requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[dict[str, Any]] = []
        self._answers: deque[Answer] = deque([Answer()])

    @property
    def url(self) -> str:
        """The URL of the endpoint."""
        return f"http://127.0.0.1:{self.server_port}"

    def script(self, *answers: Answer) -> None:
        """Replace the scripted responses."""
        self._answers = deque(answers)

    def next_answer(self) -> Answer:
        """Return the next response, or the last one again."""
        return self._answers.popleft() if len(self._answers) > 1 else self._answers[0]


class _Handler(BaseHTTPRequestHandler):
    server: AwsEndpoint
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.server.requests.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        answer = self.server.next_answer()
        time.sleep(answer.pause)
        if answer.status is None:
            self.close_connection = True
            return
        body = json.dumps(answer.body).encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        # REST-JSON services name the error in this field, the others in the body.
        self.send_header("x-amzn-ErrorType", str(answer.body.get("__type", "")).rpartition("#")[2])
        with suppress(ConnectionError):  # the client did not wait for the response
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


@contextmanager
def aws_endpoint() -> Iterator[AwsEndpoint]:
    """Yield a running endpoint."""
    server = AwsEndpoint()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
