"""The same request through a real server (uvicorn) and through API Gateway's event: what is proven of both."""

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

import uvicorn

from urlsum.web.lambda_handler import LambdaHandler

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from fastapi import FastAPI
    from starlette.types import ASGIApp

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
    def __init__(self, app: FastAPI, stage: str = "$default", public_url: str | None = None) -> None:
        self._handler = LambdaHandler(app, lambda: public_url)
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
        """What the gateway is given."""
        context: Any = None  # nothing looks at it
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
        # The gateway hands text and JSON over as they are, everything else, forms too, in base64.
        plain = lower.get("content-type", "").startswith(("text/", "application/json"))
        result["body"] = body.decode("utf-8", "replace") if plain else base64.b64encode(body).decode()
        result["isBase64Encoded"] = not plain
        sent["content-length"] = str(len(body))
    return result


@contextmanager
def served(app: ASGIApp, *, dates: bool = True) -> Iterator[ServerClient]:
    """``app`` under uvicorn on a port of its own; without ``dates`` the application's own Date is the only one."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, lifespan="off", log_config=None, access_log=False, ws="none", date_header=dates)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        deadline = time.monotonic() + START_SECONDS
        while not server.started:
            assert thread.is_alive()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield ServerClient(listener.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(START_SECONDS)
        listener.close()
