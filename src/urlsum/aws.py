"""The clients of AWS: one session and one TLS context for all of a process.

A session reads the list of endpoints once, and a context the trusted CAs. Both are half of what a client costs at
first, and on Lambda that is time that a caller waits. So on Lambda the session is botocore's, with only those event
handlers that the services of urlsum need. Elsewhere it is boto3's: its credentials may come from any other service.
"""

from __future__ import annotations

import codecs
import os
import threading
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore import handlers
from botocore.config import Config
from botocore.httpsession import create_urllib3_context, get_cert_path, where
from botocore.session import Session

from urlsum import __version__
from urlsum.settings import on_lambda

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

# As botocore names them in its events.
SERVICES = frozenset({"*", "dynamodb", "sqs", "ssm", "sesv2"})
DOCUMENTATION = frozenset({"docs", "getattr"})

# Otherwise botocore describes itself and the machine in 300 characters, and composes them for every request.
NAMED = Config(user_agent=f"urlsum/{__version__}")

# A session must not make two clients at the same time; clients themselves are thread-safe.
# https://docs.aws.amazon.com/boto3/latest/guide/clients.html#multithreading-or-multiprocessing-with-clients
_lock = threading.Lock()


def client(service: str, config: Config) -> Any:  # noqa: ANN401 - its class depends on the name
    """Make a client of ``service``, with the credentials and the region of the environment; it contacts nothing.

    Where the environment has no credentials, botocore asks the machine's metadata service for them.
    """
    with _lock:
        made: Any = _maker()(service, config=config.merge(NAMED))
    # No public way leads to the context of a client.
    http = made._endpoint.http_session  # noqa: SLF001
    if http._verify:  # noqa: SLF001
        http._manager.connection_pool_kw["ssl_context"] = _trusting(get_cert_path(http._verify))  # noqa: SLF001
    return made


@cache
def _maker() -> Callable[..., Any]:
    """The method of the process's session that makes a client."""
    if on_lambda():
        return _lean_session().create_client
    import boto3  # noqa: PLC0415 - 30 CPU-ms of a cold start, for transfers to S3 and resources

    return boto3.Session().client


def _lean_session() -> Session:
    session = Session(include_builtin_handlers=False)
    events = session.get_component("event_emitter")
    # The former names of services, which botocore compares with the name of each event: 90, and none of these services.
    events._event_aliases = {}  # noqa: SLF001
    register = {handlers.REGISTER_FIRST: events.register_first, handlers.REGISTER_LAST: events.register_last}
    for event, handler, *when in handlers.BUILTIN_HANDLERS:
        if _concerns_urlsum(event):
            register.get(when[0] if when else None, events.register)(event, handler)
    _use_credentials_of_the_role(session)
    codecs.lookup("idna")  # of every first connection, and its tables take 1 ms to import
    return session


def _use_credentials_of_the_role(session: Session) -> None:
    """Take what Lambda has put into the environment, which takes botocore 2 ms longer: it prepares to ask others, too.

    https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime
    """
    key, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    if key and secret:
        session.set_credentials(key, secret, os.environ.get("AWS_SESSION_TOKEN"))


def _concerns_urlsum(event: str) -> bool:
    """Whether a service of urlsum emits ``event``: "before-call" of all services, or "after-call.sqs.*" of one.

    Of botocore's 127 handlers 10 are left. Most others are for S3 and for documentation.
    """
    kind, *service = event.split(".")
    return kind not in DOCUMENTATION and (not service or service[0] in SERVICES)


@cache
def _trusting(cas: str) -> ssl.SSLContext:
    context: ssl.SSLContext = create_urllib3_context()
    folder = Path(cas) if Path(cas).is_dir() else Path(where()).with_suffix("")
    if cas in (str(folder), where()) and folder.is_dir():
        # A layer has the CAs in such a folder, too, from which OpenSSL reads only the one that it needs.
        context.load_verify_locations(capath=folder)
        context.load_verify_locations = _nothing_more  # type: ignore[method-assign]
        return context
    # urllib3 reads the CAs for every connection again, in 18 ms of CPU, although the context has them.
    context.load_verify_locations = cache(context.load_verify_locations)  # type: ignore[assignment, method-assign]
    with suppress(OSError):  # an AWS_CA_BUNDLE that cannot be read fails each request
        context.load_verify_locations(cas, None, None)
    return context


def _nothing_more(cafile: object = None, capath: object = None, cadata: object = None) -> None:
    """What urllib3 calls for every connection."""
