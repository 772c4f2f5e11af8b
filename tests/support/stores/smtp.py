"""Two mail servers: a real one (aiosmtpd), and a scripted one that misbehaves."""

from __future__ import annotations

import socket
import socketserver
import ssl
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from aiosmtpd.smtp import SMTP, Envelope, Session

HOST = "127.0.0.1"
USERNAME, PASSWORD = "postman", "s3cret pass:word"


class Authority:
    """A certificate authority for one test; ``path`` is the value for SSL_CERT_FILE."""

    def __init__(self, directory: Path, *, name: str = "ca") -> None:
        self._ca = trustme.CA()
        self.path = directory / f"{name}.pem"
        self._ca.cert_pem.write_to_path(str(self.path))

    def server_context(self, *names: str) -> ssl.SSLContext:
        """Return a context for a server whose certificate is for ``names``."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._ca.issue_cert(*names).configure_cert(context)
        return context


@dataclass
class Inbox:
    """The letters that a server received, and its port."""

    port: int
    envelopes: list[Envelope] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        self.envelopes.append(envelope)
        self.sessions.append(session)
        return "250 taken"


@contextmanager
def mail_server(**parameters: Any) -> Iterator[Inbox]:
    """Yield the inbox of a running aiosmtpd; ``parameters`` are those of its controller and of its SMTP class."""
    with socket.create_server((HOST, 0)) as free:
        inbox = Inbox(free.getsockname()[1])
    controller = Controller(inbox, hostname=HOST, port=inbox.port, **parameters)
    controller.start()
    try:
        yield inbox
    finally:
        controller.stop()


def authenticator(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
    """Accept the one valid password."""
    right = isinstance(data, LoginPassword) and (data.login, data.password) == (USERNAME.encode(), PASSWORD.encode())
    return AuthResult(success=right, handled=False)


CLOSE = "close"
HANG = "hang"


class ScriptedServer(socketserver.ThreadingTCPServer):
    """Answers each command with 250 OK, or with its entry in ``replies``: a line, CLOSE or HANG.

    Besides the verbs, there are ``connect`` for the greeting and ``.`` for the end of the data. With CLOSE for
    ``content``, the connection closes in the middle of it. ``commands`` records the commands.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, replies: Mapping[str, str], pause: float, pauses: Mapping[str, float]) -> None:
        super().__init__((HOST, 0), _Dialogue)
        self.pauses = pauses
        self.replies = {"connect": "220 ready", "DATA": "354 go on", "QUIT": "221 bye", **replies}
        self.pause = pause
        self.commands: list[str] = []
        self.stopping = threading.Event()

    @property
    def port(self) -> int:
        return self.server_address[1]


class _Dialogue(socketserver.StreamRequestHandler):
    server: ScriptedServer

    def handle(self) -> None:
        try:
            self._talk()
        except ConnectionError:  # a client may disconnect
            return

    def _talk(self) -> None:
        going = self._reply("connect")
        while going and (line := self.rfile.readline()):
            command = line.decode().strip()
            self.server.commands.append(command)
            verb = command.split()[0].upper()
            going = self._reply(verb)
            if going and verb == "DATA" and self.server.replies[verb].startswith("354"):
                going = self._content() and self._reply(".")

    def _content(self) -> bool:
        while line := self.rfile.readline():
            if self.server.replies.get("content") == CLOSE:
                return False
            if line == b".\r\n":
                return True
        return False

    def _reply(self, to: str) -> bool:
        reply = self.server.replies.get(to, "250 OK")
        if reply == CLOSE:
            return False
        if reply == HANG:
            self.server.stopping.wait()
            return False
        self.server.stopping.wait(self.server.pauses.get(to, self.server.pause))
        self.wfile.write(reply.encode() + b"\r\n")
        return to != "QUIT"


@contextmanager
def scripted_server(replies: Mapping[str, str], *, pause: float = 0.0, **pauses: float) -> Iterator[ScriptedServer]:
    """Yield a running scripted server; it waits ``pause`` seconds before each reply, or those of its verb."""
    server = ScriptedServer(replies, pause, {{"END": "."}.get(verb, verb): value for verb, value in pauses.items()})
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        server.stopping.set()
        server.shutdown()
        thread.join()
        server.server_close()
