"""Clients that send the same request to a real server (uvicorn) and as an API Gateway event."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qsl

import uvicorn

from tests.support.aws.fake_lambda import Context
from urlsum.settings import Settings
from urlsum.web.lambda_handler import LambdaHandler

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from fastapi import FastAPI
    from starlette.types import ASGIApp, Receive, Scope, Send

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=XX"
START_SECONDS = 10


def part(name: str, value: bytes, more: str = "", headers: str = "") -> bytes:
    """A field of a body in ``MULTIPART``, which ends with ``--XX--``."""
    return f'--XX\r\nContent-Disposition: form-data; name="{name}"{more}\r\n{headers}\r\n'.encode() + value + b"\r\n"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Client(Protocol):
    def request(
        self, method: str, target: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer: ...

    def post(self, body: bytes | str, content_type: str = FORM, **headers: str) -> Answer: ...


class _Posts:
    def post(self, body: bytes | str, content_type: str = FORM, **headers: str) -> Answer:
        raw = body.encode() if isinstance(body, str) else body
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.request("POST", "/submit", raw, {"Content-Type": content_type, **named})  # type: ignore[attr-defined,no-any-return] # each client has it


class ServerClient(_Posts):
    def __init__(self, port: int) -> None:
        self.port = port

    def request(
        self,
        method: str,
        target: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, target, body, dict(headers or {}))
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()


class GatewayClient(_Posts):
    def __init__(self, app: FastAPI, stage: str = "$default", settings: Settings = Settings()) -> None:  # noqa: B008 - frozen
        self._handler = LambdaHandler(app, "web", lambda: settings)
        self.close = self._handler.close
        self._stage = stage

    def request(
        self, method: str, target: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        result = self.raw(method, target, body, headers)
        raw = result.get("body", "")
        content = base64.b64decode(raw) if result["isBase64Encoded"] else raw.encode()
        return Answer(result["statusCode"], result.get("headers", {}), content)

    def raw(
        self, method: str, target: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """The event of the gateway."""
        context: Any = Context()
        return self._handler(event(method, target, body, headers, stage=self._stage), context)


def event(
    method: str,
    target: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    stage: str = "$default",
) -> dict[str, Any]:
    """An API Gateway HTTP API event.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
    """
    path, _, query = target.partition("?")
    prefix = "" if stage == "$default" else f"/{stage}"
    lower = {name.lower(): value for name, value in (headers or {}).items()}
    sent = {"host": "abc123.execute-api.eu-central-1.amazonaws.com", "x-forwarded-proto": "https", **lower}
    result: dict[str, Any] = {
        "version": "2.0",
        "routeKey": f"{method} {path}",
        "rawPath": prefix + path,
        "rawQueryString": query,
        "headers": sent,
        **({"queryStringParameters": dict(parse_qsl(query))} if query else {}),
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "abc123",
            "domainName": sent["host"],
            "http": {
                "method": method,
                "path": prefix + path,
                "protocol": "HTTP/1.1",
                "sourceIp": "203.0.113.9",
                "userAgent": "curl/8.5.0",
            },
            "requestId": "id",
            "routeKey": f"{method} {path}",
            "stage": stage,
            "time": "05/Nov/2026:10:00:00 +0000",
            "timeEpoch": 1793872800000,
        },
        "isBase64Encoded": False,
    }
    if body is not None:
        # The gateway passes text and JSON unchanged, and everything else, including forms, in base64.
        plain = lower.get("content-type", "").startswith(("text/", "application/json"))
        result["body"] = body.decode("utf-8", "replace") if plain else base64.b64encode(body).decode()
        result["isBase64Encoded"] = not plain
        sent["content-length"] = str(len(body))
    return result


class _Server:
    """uvicorn on its own port, with a replaceable application."""

    def __init__(self, *, dates: bool) -> None:
        self._app: ASGIApp | None = None
        self._open = 0
        self._idle = threading.Condition()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        config = uvicorn.Config(
            self._answer,
            interface="asgi3",  # uvicorn detects a method wrongly
            lifespan="off",
            proxy_headers=False,  # as the self-hosted server: urlsum decides who a client is
            log_config=None,
            access_log=False,
            ws="none",
            date_header=dates,
        )
        self._uvicorn = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._uvicorn.run, kwargs={"sockets": [self._listener]})
        self._thread.start()
        deadline = time.monotonic() + START_SECONDS
        while not self._uvicorn.started:
            assert self._thread.is_alive()
            assert time.monotonic() < deadline
            time.sleep(0.01)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._idle:
            app, self._open = self._app, self._open + 1
        try:
            assert app is not None, "a request came after the test that it belongs to"
            await app(scope, receive, send)
        finally:
            with self._idle:
                self._open -= 1
                self._idle.notify_all()

    @contextmanager
    def serving(self, app: ASGIApp) -> Iterator[None]:
        """Route every request to ``app`` until the block ends, after all responses are complete."""
        self._app = app
        try:
            yield
        finally:
            self._app = None
            with self._idle:
                assert self._idle.wait_for(lambda: self._open == 0, START_SECONDS)

    def close(self) -> None:
        self._uvicorn.should_exit = True
        self._thread.join(START_SECONDS)
        self._listener.close()


# Shared servers by ``dates``: starting and stopping uvicorn takes 0.2 s, several times longer than most tests.
_idle_servers: dict[bool, list[_Server]] = {True: [], False: []}


@contextmanager
def served(app: ASGIApp, *, dates: bool = True) -> Iterator[ServerClient]:
    """``app`` under uvicorn; without ``dates`` the application's own Date is the only one.

    Overlapping blocks do not share a server. Until ``close_servers``, a server is reused by the next block.
    """
    idle = _idle_servers[dates]
    server = idle.pop() if idle else _Server(dates=dates)
    try:
        with server.serving(app):
            yield ServerClient(server.port)
    finally:
        idle.append(server)


def close_servers() -> None:
    """Stop the servers of all blocks that have ended."""
    for idle in _idle_servers.values():
        while idle:
            idle.pop().close()
