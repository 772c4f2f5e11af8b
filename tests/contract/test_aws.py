"""Clients of AWS share a session and trusted CAs, and trust no others."""

from __future__ import annotations

import ssl
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from botocore import credentials
from botocore.config import Config
from botocore.exceptions import BotoCoreError, SSLError
from botocore.handlers import disable_signing
from botocore.session import Session

from scripts.trim_layer import OPERATIONS, hash_certificates
from tests.support.aws.aws_endpoint import AwsEndpoint
from urlsum import aws

if TYPE_CHECKING:
    from collections.abc import Iterator

ONCE = Config(retries={"total_max_attempts": 1})


@pytest.fixture(autouse=True, params=["on Lambda", "elsewhere"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where the clients are made: by botocore's session or by boto3's."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "key",
        "AWS_SESSION_TOKEN": "token",
        "AWS_DEFAULT_REGION": "eu-central-1",
    }.items():
        monkeypatch.setenv(name, value)
    if request.param == "on Lambda":
        monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "submit")
    else:
        monkeypatch.delenv("AWS_LAMBDA_FUNCTION_NAME", raising=False)
    aws._maker.cache_clear()
    yield request.param
    aws._maker.cache_clear()


@contextmanager
def endpoint(authority: trustme.CA) -> Iterator[str]:
    """An AWS that answers {} over TLS."""
    server = AwsEndpoint()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"https://localhost:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def bundle(authority: trustme.CA, path: Path) -> str:
    path.write_bytes(authority.cert_pem.bytes())
    return str(path)


def context_of(client: Any) -> ssl.SSLContext:
    context: ssl.SSLContext = client._endpoint.http_session._manager.connection_pool_kw["ssl_context"]
    return context


def test_clients_trust_the_cas_of_the_environment_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, unknown = trustme.CA(), trustme.CA()
    with endpoint(known) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        monkeypatch.setenv("AWS_CA_BUNDLE", bundle(known, tmp_path / "known.pem"))
        assert aws.client("sqs", ONCE).list_queues()["ResponseMetadata"]["HTTPStatusCode"] == 200
        monkeypatch.setenv("AWS_CA_BUNDLE", bundle(unknown, tmp_path / "unknown.pem"))
        with pytest.raises(SSLError):
            aws.client("sqs", ONCE).list_queues()
        monkeypatch.delenv("AWS_CA_BUNDLE")
        with pytest.raises(SSLError):
            aws.client("sqs", ONCE).list_queues()


def test_a_certificate_of_another_host_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    with endpoint(authority) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url.replace("localhost", "127.0.0.1"))
        monkeypatch.setenv("AWS_CA_BUNDLE", bundle(authority, tmp_path / "known.pem"))
        with pytest.raises(SSLError):
            aws.client("sqs", ONCE).list_queues()


def test_the_cas_are_read_once_for_all_clients_and_connections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    with endpoint(authority) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        monkeypatch.setenv("AWS_CA_BUNDLE", bundle(authority, tmp_path / "known.pem"))
        sqs, ses = aws.client("sqs", ONCE), aws.client("sesv2", ONCE)
        assert context_of(sqs) is context_of(ses)
        (tmp_path / "known.pem").write_text("nothing that can be read again\n")
        assert sqs.list_queues()["ResponseMetadata"]["HTTPStatusCode"] == 200
        assert ses.list_email_identities()["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_of_a_folder_of_cas_only_the_needed_one_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known, unknown = trustme.CA(), trustme.CA()
    folders = {}
    for name, authority in (("known", known), ("unknown", unknown)):
        folders[name] = Path(bundle(authority, tmp_path / f"{name}.pem"))
        hash_certificates(folders[name])
    with endpoint(known) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        monkeypatch.setenv("AWS_CA_BUNDLE", str(folders["known"].with_suffix("")))
        client = aws.client("sqs", ONCE)
        assert context_of(client).get_ca_certs() == []
        assert client.list_queues()["ResponseMetadata"]["HTTPStatusCode"] == 200
        monkeypatch.setenv("AWS_CA_BUNDLE", str(folders["unknown"].with_suffix("")))
        with pytest.raises(SSLError):
            aws.client("sqs", ONCE).list_queues()


@pytest.mark.parametrize("service", ["dynamodb", "sqs", "sesv2", "ssm"])
def test_the_events_of_a_client_have_the_handlers_that_botocore_has_for_them(service: str) -> None:
    whole = Session().create_client(service)
    ours = aws.client(service, ONCE)

    def handlers(client: Any, event: str) -> list[str]:
        found = client.meta.events._emitter._handlers.prefix_search(event)
        return [getattr(handler, "__qualname__", type(handler).__name__) for handler in found]

    kinds = (
        *("provide-client-params", "before-parameter-build", "before-endpoint-resolution", "choose-signer"),
        *("before-sign", "request-created", "before-call", "before-parse", "before-send", "response-received"),
        *("needs-retry", "after-call", "after-call-error", "creating-client-class"),
    )
    for kind in kinds:
        for operation in OPERATIONS[service]:
            event = f"{kind}.{service}.{operation}"
            assert handlers(ours, event) == handlers(whole, event), event


def test_cas_that_cannot_be_read_fail_the_request_as_an_outage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "missing.pem"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://localhost:9")
    client = aws.client("sqs", ONCE)
    with pytest.raises(BotoCoreError):
        client.list_queues()


def test_on_lambda_the_session_is_lean_and_asks_nobody_for_credentials(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    resolver = credentials.create_credential_resolver

    def ask(*session: Any, **region: Any) -> Any:
        asked.append(session)
        return resolver(*session, **region)

    monkeypatch.setattr(credentials, "create_credential_resolver", ask)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://localhost:9")
    signed: list[Any] = []
    client = aws.client("sqs", ONCE)
    client.meta.events.register("before-send.sqs", lambda request, **_: signed.append(request))
    with pytest.raises(BotoCoreError):
        client.list_queues()
    assert signed[0].headers["X-Amz-Security-Token"] == b"token"
    assert b"Credential=id/" in signed[0].headers["Authorization"]
    others = client.meta.events._emitter._handlers.prefix_search("choose-signer.cognito-identity.GetId")
    assert (bool(asked), disable_signing in others) == ((False, False) if place == "on Lambda" else (True, True))


def test_on_lambda_without_credentials_in_the_environment_the_usual_places_are_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    (tmp_path / "credentials").write_text("[default]\naws_access_key_id = file\naws_secret_access_key = key\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    assert aws.client("sqs", ONCE)._request_signer._credentials.access_key == "file"


def test_threads_may_make_clients_at_the_same_time() -> None:
    made: list[Any] = []
    threads = [threading.Thread(target=lambda: made.append(aws.client("sqs", ONCE))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(client) for client in made}) == 8
