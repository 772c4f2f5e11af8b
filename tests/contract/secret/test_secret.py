"""What every keeper of the secret promises: one secret for a deployment, however many processes ask for it first."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import boto3
import pytest

from tests.support.aws.aws_endpoint import HANG_UP, Answer, AwsEndpoint, aws_endpoint, error
from tests.support.aws.moto_process import moto_process
from tests.support.stores import every_table
from tests.support.stores.memory import MemoryRecords
from urlsum.errors import TableUnavailable
from urlsum.secret import SECRET_BYTES, authenticate
from urlsum.secret.record import KEY, RecordSecret
from urlsum.secret.ssm import PAUSES_SECONDS, SsmSecret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from urlsum.secret import Secret

NAME = "/urlsum/prod/secret"
THREADS = 8
DEPLOYMENTS = 2  # each thread makes a client of boto3, which takes a tenth of a second
EPOCH_OF_THE_TESTS = 1_800_000_000.0


@pytest.fixture(scope="module")
def parameter_store() -> Iterator[str]:
    """The endpoint of a moto that has answered once: it imports its Parameter Store at the first request."""
    with moto_process() as endpoint:
        client = boto3.client(
            "ssm",
            endpoint_url=endpoint,
            region_name="eu-central-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        client.describe_parameters()
        client.close()
        yield endpoint


@pytest.fixture(params=[*every_table.KINDS, "ssm"])
def deployment(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[int], Secret]]:
    """A function that opens the secret of a numbered deployment, as each process of it does."""
    if request.param == "ssm":
        # A process of its own serves one request at a time: moto looks for the parameter and then writes, and the
        # Parameter Store does both at once.
        monkeypatch.setenv("AWS_ENDPOINT_URL", request.getfixturevalue("parameter_store"))
        test = request.node.name
        yield lambda number: SsmSecret(f"/{re.sub('[^a-z]', '', test)}/{number}")
        return
    with _numbered_records(request.param, tmp_path) as opened:
        yield opened


@contextmanager
def _numbered_records(kind: str, directory: Path) -> Iterator[Callable[[int], Secret]]:
    if kind != "dynamodb":
        with every_table.records(kind, directory) as records:
            yield lambda number: RecordSecret(_Prefixed(records, number))  # type: ignore[arg-type]
        return
    lock = threading.Lock()  # moto checks a condition and then writes; DynamoDB does both atomically
    with every_table.records(kind, directory) as records:
        yield lambda number: RecordSecret(_Prefixed(records, number, lock))  # type: ignore[arg-type]


class _Prefixed:
    """The records of one of several deployments in one store; with a lock, a request at a time."""

    def __init__(self, records: object, number: int, lock: threading.Lock | None = None) -> None:
        self._records, self._prefix, self._lock = records, f"{number}:", lock

    def __getattr__(self, name: str) -> Callable[..., object]:
        method: Callable[..., object] = getattr(self._records, name)

        def called(key: str, *arguments: object, **named: object) -> object:
            if self._lock is None:
                return method(self._prefix + key, *arguments, **named)
            with self._lock:
                return method(self._prefix + key, *arguments, **named)

        return called


def test_every_process_gets_the_same_secret_at_the_same_moment(deployment: Callable[[int], Secret]) -> None:
    secrets = set()
    for number in range(DEPLOYMENTS):
        start = threading.Barrier(THREADS)
        processes = [deployment(number) for _ in range(THREADS)]

        def ask(secret: Secret, start: threading.Barrier = start) -> bytes:
            start.wait()
            return secret()

        with ThreadPoolExecutor(THREADS) as pool:
            [value] = set(pool.map(ask, processes))
        assert deployment(number)() == value
        secrets.add(value)
    assert len(secrets) == DEPLOYMENTS


def test_a_secret_is_long_and_random(deployment: Callable[[int], Secret]) -> None:
    assert len(deployment(0)()) > SECRET_BYTES
    assert deployment(0)() != deployment(1)()


def test_one_process_asks_once() -> None:
    records = MemoryRecords()
    secret = RecordSecret(records)
    value = secret()
    records.down = True
    assert secret() == value


def test_a_secret_that_cannot_be_read_now_is_read_later() -> None:
    records = MemoryRecords()
    secret = RecordSecret(records)
    records.down = True
    with pytest.raises(TableUnavailable):
        secret()
    records.down = False
    assert secret() == records.records[KEY].value.encode()


def test_nothing_purges_the_secret(tmp_path: Path) -> None:
    with every_table.records("sqlite", tmp_path) as records:
        value = RecordSecret(records)()
        assert records.purge(EPOCH_OF_THE_TESTS + 1000 * 365 * 86400, 10) == 0
        assert RecordSecret(records, clock=lambda: EPOCH_OF_THE_TESTS * 2)() == value


def test_what_is_authentic_depends_on_secret_purpose_and_every_part() -> None:
    def one() -> bytes:
        return b"one"

    made = [
        authenticate(one, "a", "b"),
        authenticate(lambda: b"two", "a", "b"),
        authenticate(one, "b", "b"),
        authenticate(one, "a", "c"),
        authenticate(one, "a", "b", None),
        authenticate(one, "a", None, "b"),
        authenticate(one, "a", "b", "null"),
    ]
    assert len(set(made)) == len(made)
    assert made[0] == authenticate(one, "a", "b")
    assert {len(each) for each in made} == {32}


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[AwsEndpoint]:
    with aws_endpoint() as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL", running.url)
        yield running


MISSING, TAKEN = error(400, "ParameterNotFound"), error(400, "ParameterAlreadyExists")
FOUND = Answer(body={"Parameter": {"Name": NAME, "Value": "theirs", "Type": "SecureString"}})


def test_the_parameter_is_encrypted_and_never_overwritten(endpoint: AwsEndpoint) -> None:
    endpoint.script(MISSING, Answer(body={"Version": 1}))
    value = SsmSecret(NAME)()
    read, made = endpoint.requests
    assert read == {"Name": NAME, "WithDecryption": True}
    assert made.pop("Description")
    assert made == {"Name": NAME, "Value": value.decode(), "Type": "SecureString", "Overwrite": False}


def test_a_parameter_that_another_function_made_meanwhile_is_taken(endpoint: AwsEndpoint) -> None:
    pauses: list[float] = []
    endpoint.script(MISSING, TAKEN, MISSING, MISSING, FOUND)
    assert SsmSecret(NAME, sleep=pauses.append)() == b"theirs"
    assert pauses == list(PAUSES_SECONDS[:3])


@pytest.mark.parametrize(
    "answers",
    [
        [error(400, "AccessDeniedException")],
        [error(500, "InternalServerError")],
        [MISSING, error(400, "AccessDeniedException")],
        [MISSING, TAKEN, MISSING],
        [HANG_UP],
    ],
    ids=["denied", "broken", "may not create", "never visible", "no answer"],
)
def test_a_parameter_store_that_fails_is_unavailable(endpoint: AwsEndpoint, answers: list[Answer]) -> None:
    endpoint.script(*answers)
    with pytest.raises(TableUnavailable, match=r"^SSM: "):
        SsmSecret(NAME, sleep=lambda _: None)()


def test_without_credentials_the_secret_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(TableUnavailable):
        SsmSecret(NAME)()


def test_an_operator_reads_what_the_functions_use(parameter_store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", parameter_store)
    value = SsmSecret(NAME)()
    client = boto3.client("ssm")
    parameter = client.get_parameter(Name=NAME, WithDecryption=True)["Parameter"]
    client.close()
    assert (parameter["Type"], parameter["Value"].encode()) == ("SecureString", value)
