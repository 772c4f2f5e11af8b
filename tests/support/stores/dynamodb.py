"""DynamoDB by moto, behind a relay that records every request and injects faults on demand."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import deque
from contextlib import contextmanager
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from moto.server import ThreadedMotoServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

AMZ_JSON = "application/x-amz-json-1.0"


class Fault(Enum):
    """A fault that the relay injects before or after it forwards the next request."""

    UNAVAILABLE = 503
    BROKEN = 500
    THROTTLED = 400
    HANG_UP = "hang up"
    LOSE_ANSWER = "lose the answer"


class Relay(ThreadingHTTPServer):
    """An endpoint for DynamoDB that forwards requests to moto."""

    daemon_threads = True

    def __init__(self, upstream: tuple[str, int]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = upstream
        self.operations: list[str] = []
        self.requests: list[dict[str, Any]] = []
        # How far the clock that the responses show is ahead of this machine's, in seconds; None for no Date at all.
        self.ahead: float | None = 0.0
        # The maximum of items in a response to a query: DynamoDB may end a page anywhere (at 1 MB, at the latest).
        self.page_size: int | None = None
        self.faults: deque[Fault] = deque()
        # Whether an eventually consistent read shows an item as it was before its last write, as a late replica does.
        self.lags = False
        self.before: dict[str, bytes] = {}
        # The action of another client between a lost response and the retry.
        self.meanwhile: Callable[[], None] = lambda: None
        # A lock, because moto checks a condition and then writes, whereas DynamoDB writes an item atomically.
        self.one_at_a_time = threading.Lock()

    @property
    def url(self) -> str:
        """The URL of the relay."""
        return f"http://127.0.0.1:{self.server_port}"

    def fail(self, *faults: Fault) -> None:
        """Inject ``faults`` into the next requests, one each."""
        self.faults.extend(faults)


class _Handler(BaseHTTPRequestHandler):
    server: Relay
    protocol_version = "HTTP/1.1"
    # Head and body in one packet: the second of two would wait 40 ms (Nagle's algorithm and the delayed ACK).
    wbufsize = -1

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        request = json.loads(body)
        self.server.operations.append(self.headers["X-Amz-Target"].rpartition(".")[2])
        self.server.requests.append(request)
        if self.server.page_size is not None and "KeyConditionExpression" in request:
            body = json.dumps({**request, "Limit": self.server.page_size}).encode()
        fault = self.server.faults.popleft() if self.server.faults else None
        match fault:
            case None if self.server.lags:
                self._answer(*self._as_a_late_replica(request, body))
            case None:
                self._answer(*self._passed_on(body))
            case Fault.HANG_UP:
                self.close_connection = True
            case Fault.LOSE_ANSWER:
                self._passed_on(body)
                self.server.meanwhile()
                self.close_connection = True
            case Fault.THROTTLED:
                kind = "com.amazonaws.dynamodb.v20120810#ThrottlingException"
                self._answer(400, json.dumps({"__type": kind, "message": "slow down"}).encode())
            case _:
                self._answer(int(fault.value), b"<html>not even JSON</html>")

    def _passed_on(self, body: bytes) -> tuple[int, bytes]:
        with self.server.one_at_a_time:
            return self._requested(body, self.headers["X-Amz-Target"])

    def _as_a_late_replica(self, request: dict[str, Any], body: bytes) -> tuple[int, bytes]:
        version, _, operation = self.headers["X-Amz-Target"].rpartition(".")
        key = request.get("Key") or {"id": request.get("Item", {}).get("id")}
        name, before = json.dumps([request["TableName"], key]), self.server.before
        if operation == "GetItem" and not request.get("ConsistentRead") and name in before:
            return 200, before[name]
        if operation not in ("PutItem", "UpdateItem", "DeleteItem"):
            return self._passed_on(body)
        read = json.dumps({"TableName": request["TableName"], "Key": key, "ConsistentRead": True}).encode()
        with self.server.one_at_a_time:
            _, found = self._requested(read, f"{version}.GetItem")
            status, reply = self._requested(body, f"{version}.{operation}")
        if status == 200:
            before[name] = found
        return status, reply

    def _requested(self, body: bytes, target: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(*self.server.upstream, timeout=10)
        headers = {**self.headers, "X-Amz-Target": target, "Content-Length": str(len(body))}
        try:
            connection.request("POST", self.path, body, headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", AMZ_JSON)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send_response(self, code: int, message: str | None = None) -> None:
        self.send_response_only(code, message)
        if self.server.ahead is not None:
            self.send_header("Date", self.date_time_string(time.time() + self.server.ahead))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


@contextmanager
def relayed_moto() -> Iterator[Relay]:
    """Yield a relay in front of its own moto server."""
    moto = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    moto.start()
    try:
        relay = Relay(moto.get_host_and_port())
        thread = threading.Thread(target=relay.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield relay
        finally:
            relay.shutdown()
            thread.join()
            relay.server_close()
    finally:
        moto.stop()
