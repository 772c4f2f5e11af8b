"""scripts/smoke_aws against moto, as far as that goes: its API and its logs come from the functions in this process."""

from __future__ import annotations

import base64
import io
import json
import re
import time
import zipfile
from contextlib import closing, redirect_stdout
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

import boto3
import httpx
import pytest
from moto.ses.models import ses_backends

from functions.check.app import app as check
from functions.submit.app import app as submit
from scripts import local_aws
from scripts.smoke_aws import account, findings, measure
from tests.support.aws import template, translation
from tests.support.aws.fake_lambda import FakeLambda
from tests.support.aws.judge import ACCOUNT
from tests.support.aws.moto_stack import for_moto, judged_moto
from tests.support.web.clients import GatewayClient
from urlsum import wiring

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

REGION = local_aws.ENVIRONMENT["AWS_DEFAULT_REGION"]
# The least that S3 takes as a part, but the last.
PART_BYTES = 5 * 2**20
STACK = "urlsum-smoke"
# As https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html describes it: only Lambda writes it.
REPORT = {
    "time": "2026-11-27T00:01:15.000Z",
    "type": "platform.report",
    "record": {
        "requestId": "6d68ca91-49c9-448d-89b8-7ca3e6dc66aa",
        "metrics": {
            "billedDurationMs": 694,
            "durationMs": 693.92,
            "initDurationMs": 397.68,
            "maxMemoryUsedMB": 84,
            "memorySizeMB": 128,
        },
    },
}
GROUPS = {"/submit": "SubmitLogs", "/check": "CheckLogs"}


@dataclass
class Functions(httpx.BaseTransport):
    """The API of a stack: its functions handle requests, and the worker what is queued before a look at a task.

    What they print goes to their log groups, and then what Lambda reports.
    """

    clients: dict[str, GatewayClient]
    works: bool = True
    names: dict[str, str] = field(default_factory=dict)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if request.method == "GET" and self.works:
            with redirect_stdout(io.StringIO()) as printed:
                FakeLambda(wiring.services(), "Allow").run()
            self.log("HashWorkerLogs", printed.getvalue())
        with redirect_stdout(io.StringIO()) as printed:
            target = request.url.raw_path.decode()
            result = self.clients[path].raw(request.method, target, request.read() or None, dict(request.headers))
        self.log(GROUPS[path], printed.getvalue())
        # The second task waits, and is cancelled.
        self.works = self.works and (request.method, result["statusCode"]) != ("GET", 200)
        raw = result["body"]
        content = base64.b64decode(raw) if result["isBase64Encoded"] else raw.encode()
        return httpx.Response(result["statusCode"], headers=result["headers"], content=content)

    def log(self, group: str, printed: str) -> None:
        logs = boto3.client("logs")
        lines = [*printed.splitlines(), json.dumps(REPORT)]
        events = [{"timestamp": round(time.time() * 1000), "message": line} for line in lines]
        if not logs.describe_log_streams(logGroupName=self.names[group])["logStreams"]:
            logs.create_log_stream(logGroupName=self.names[group], logStreamName="1")
        logs.put_log_events(logGroupName=self.names[group], logStreamName="1", logEvents=events)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """AWS by moto, with a sender that is not verified, and a bucket with what `sam deploy` would put there."""
    with judged_moto("127.0.0.1") as moto:
        for name, value in {**local_aws.ENVIRONMENT, "AWS_ENDPOINT_URL": moto.endpoint}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(account, "POLL_SECONDS", 0.1)
        monkeypatch.setattr(account, "PARTS", 2)
        monkeypatch.setattr(measure, "RUNNING_SECONDS", 0)
        monkeypatch.setattr("urlsum.aws._maker", cache(lambda: boto3.Session().client))
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("app.py", "")
        boto3.client("s3").create_bucket(Bucket="bucket")
        boto3.client("s3").put_object(Bucket="bucket", Key="key", Body=packed.getvalue())
        boto3.client("sesv2").create_email_identity(EmailIdentity=OPTIONS.mail_identity)
        yield


@pytest.fixture
def functions() -> Iterator[Functions]:
    with closing(GatewayClient(submit)) as one, closing(GatewayClient(check)) as other:
        yield Functions({"/submit": one, "/check": other})


OPTIONS = account.Options(
    stack=STACK,
    mail_from=template.PARAMETERS["MailFrom"],
    mail_identity=template.PARAMETERS["MailFrom"],
    recipient=account.SIMULATOR,
    part_bytes=PART_BYTES,
)


def deploy(functions: Functions, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the stack, and wire the functions of this process to it."""
    translated = for_moto(translation.translate(template.load(), template.PARAMETERS))
    formation = boto3.client("cloudformation")
    formation.create_stack(
        StackName=STACK,
        TemplateBody=json.dumps(translated),
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in template.PARAMETERS.items()],
        Capabilities=["CAPABILITY_IAM"],
    )
    made = formation.list_stack_resources(StackName=STACK)["StackResourceSummaries"]
    functions.names = {r["LogicalResourceId"]: r["PhysicalResourceId"] for r in made}
    lambdas = boto3.client("lambda")
    for mapping in lambdas.list_event_source_mappings()["EventSourceMappings"]:
        lambdas.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    configuration = lambdas.get_function_configuration(FunctionName=functions.names["HashWorkerFunction"])
    # The bucket is on loopback, which no function could reach on Lambda.
    for name, value in {**configuration["Environment"]["Variables"], "ALLOWED_NETWORKS": "127.0.0.0/8"}.items():
        monkeypatch.setenv(name, value)


def test_a_file_is_hashed_an_email_sent_a_task_cancelled_and_all_of_it_deleted(
    aws: None, functions: Functions, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = ses_backends[ACCOUNT][REGION].email_identities[OPTIONS.mail_identity]
    with pytest.raises(account.SmokeError, match="not verified yet"):
        account.check_sender(OPTIONS)
    identity.verified_for_sending_status = True  # as after a click on its link
    with httpx.Client(transport=functions) as http:
        found = measure.smoke(OPTIONS, http, lambda _: deploy(functions, monkeypatch))
    assert found.bytes == account.PARTS * PART_BYTES
    assert found.bytes_per_second is not None
    assert found.engine is not None
    assert found.engine.startswith("libcrypto")
    assert found.cancelled == "queued"
    assert {name: len(reports) > 0 for name, reports in found.reports.items()} == {
        "submit": True,
        "check": True,
        "worker": True,
        "sweeper": False,
    }
    [email] = ses_backends[ACCOUNT][REGION].sent_messages
    assert account.SIMULATOR in str(email.destinations)
    text = findings.table(found, REGION, "2026-11-27")
    assert re.search(r"^\| worker \| \d+ \| 398[ 398]* \| 694 \| 84 \| 128 \|$", text, re.MULTILINE)
    # Only what was there before is left.
    assert [bucket["Name"] for bucket in boto3.client("s3").list_buckets()["Buckets"]] == ["bucket"]
    assert boto3.client("cloudformation").describe_stacks()["Stacks"] == []
    assert STACK not in str(boto3.client("sqs").list_queues().get("QueueUrls"))


def test_every_function_of_the_stack_reports_its_invocations() -> None:
    translated = translation.translate(account.with_reports(deepcopy(template.load())), template.PARAMETERS)
    functions = [r["Properties"] for r in translated["Resources"].values() if r["Type"] == "AWS::Lambda::Function"]
    assert {properties["LoggingConfig"]["SystemLogLevel"] for properties in functions} == {"INFO"}


def test_a_stack_that_was_there_before_is_left_alone(aws: None) -> None:
    boto3.client("cloudformation").create_stack(
        StackName=STACK, TemplateBody=json.dumps({"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}})
    )

    def unwanted(options: account.Options) -> None:
        raise AssertionError(options)

    with pytest.raises(account.SmokeError, match="choose another name"), account.stack(OPTIONS, unwanted):
        pass
    assert len(boto3.client("cloudformation").describe_stacks()["Stacks"]) == 1
