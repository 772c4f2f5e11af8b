"""What the measurement makes in an account, and deletes again: a stack and a file."""

# Every command that runs here is spelled out in this module.
# ruff: noqa: S603

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import ClientError

from scripts.sam_build import ROOT, sam

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BUILD = ROOT / ".aws-sam" / "build" / "template.yaml"
# Sixteen copies of one upload are the file: 64 MiB are uploaded within a minute at 10 Mbit/s.
PARTS = 16
PART_BYTES = 64 * 2**20
# SES delivers to it in the sandbox as well.
# https://docs.aws.amazon.com/ses/latest/dg/send-an-email-from-console.html#send-email-simulator
SIMULATOR = "success@simulator.amazonses.com"
POLL_SECONDS = 2.0


class SmokeError(Exception):
    """The deployment did not do what it should; the text says what."""


@dataclass(frozen=True)
class Options:
    """What to deploy, and where the email goes."""

    stack: str
    mail_from: str
    mail_identity: str
    recipient: str
    part_bytes: int = PART_BYTES
    keep: bool = False


def say(text: str) -> None:
    """Report progress, beside the table on standard output."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201 (a command's output)


def pause() -> None:
    """Wait before the next look at something that AWS is about to finish."""
    time.sleep(POLL_SECONDS)


def deploy(options: Options) -> None:
    """Run ``sam deploy``. Raises SmokeError and BuildError."""
    if not BUILD.exists():
        raise SmokeError("nothing is built; run `make sam-build ARCHITECTURE=arm64`")
    parameters = {"Stage": "dev", "MailFrom": options.mail_from, "MailIdentity": options.mail_identity}
    if options.recipient != SIMULATOR:
        parameters["SandboxRecipient"] = options.recipient
    reporting = BUILD.with_name("template.smoke.json")
    reporting.write_text(json.dumps(with_reports(json.loads(BUILD.read_text(encoding="utf-8")))), encoding="utf-8")
    command = [sam(), "deploy", "--config-env", "dev", "--stack-name", options.stack, "--template-file", str(reporting)]
    command += ["--parameter-overrides", *(f"{name}={value}" for name, value in parameters.items())]
    ended = subprocess.run(command, cwd=ROOT, env={**os.environ, "SAM_CLI_TELEMETRY": "0"}, check=False)
    if ended.returncode:
        raise SmokeError(f"`sam deploy` failed with exit status {ended.returncode}")


def with_reports(template: dict[str, Any]) -> dict[str, Any]:
    """The built template with functions that log what Lambda reports of each invocation: its level is INFO."""
    for resource in template["Resources"].values():
        if "LoggingConfig" in resource.get("Properties", {}):
            resource["Properties"]["LoggingConfig"]["SystemLogLevel"] = "INFO"
    return template


def client(service: str) -> Any:  # noqa: ANN401 (its class depends on the name)
    """Make a client with the credentials and the region of the environment."""
    return boto3.client(service)  # type: ignore[call-overload]


@contextmanager
def stack(options: Options, make: Callable[[Options], None]) -> Iterator[dict[str, str]]:
    """Deploy; yield the outputs and the names of the log groups; delete the stack, whatever happens."""
    formation = client("cloudformation")
    if _exists(formation, options.stack):
        raise SmokeError(f"there is a stack {options.stack} already, which this would delete; choose another name")
    try:
        make(options)
        outputs = formation.describe_stacks(StackName=options.stack)["Stacks"][0]["Outputs"]
        pages = formation.get_paginator("list_stack_resources").paginate(StackName=options.stack)
        names = {r["LogicalResourceId"]: r["PhysicalResourceId"] for r in pages.search("StackResourceSummaries")}
        yield {**names, **{output["OutputKey"]: output["OutputValue"] for output in outputs}}
    finally:
        if options.keep:
            say(f"Kept; `aws cloudformation delete-stack --stack-name {options.stack}` deletes it")
        else:
            say(f"Deleting {options.stack} …")
            formation.delete_stack(StackName=options.stack)
            formation.get_waiter("stack_delete_complete").wait(StackName=options.stack)


def _exists(formation: Any, name: str) -> bool:  # noqa: ANN401 (a client of CloudFormation)
    try:
        formation.describe_stacks(StackName=name)
    except ClientError as exc:
        if exc.response["Error"]["Code"] != "ValidationError":  # CloudFormation's for a name without a stack
            raise
        return False
    return True


@contextmanager
def file_in_s3(part_bytes: int) -> Iterator[tuple[str, str]]:
    """A file of PARTS copies of random bytes in a bucket of its own; yield a signed URL and the MD5."""
    storage = client("s3")
    bucket = f"urlsum-smoke-{uuid.uuid4().hex[:12]}"
    region = storage.meta.region_name
    # S3 refuses its oldest region as a constraint.
    where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    storage.create_bucket(Bucket=bucket, **where)
    try:
        part = os.urandom(part_bytes)
        digest = hashlib.md5(usedforsecurity=False)
        for _ in range(PARTS):
            digest.update(part)
        storage.put_object(Bucket=bucket, Key="part", Body=part)
        _copy(storage, bucket)
        signed = storage.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "file"}, ExpiresIn=3600)
        yield signed, digest.hexdigest()
    finally:
        for key in ("part", "file"):
            storage.delete_object(Bucket=bucket, Key=key)
        storage.delete_bucket(Bucket=bucket)


def _copy(storage: Any, bucket: str) -> None:  # noqa: ANN401 (a client of S3)
    upload = {"Bucket": bucket, "Key": "file"}
    upload["UploadId"] = storage.create_multipart_upload(**upload)["UploadId"]
    source = {"Bucket": bucket, "Key": "part"}
    parts = []
    for number in range(1, PARTS + 1):
        copied = storage.upload_part_copy(**upload, CopySource=source, PartNumber=number)["CopyPartResult"]
        parts.append({"PartNumber": number, "ETag": copied["ETag"]})
    storage.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})


def check_sender(options: Options) -> None:
    """Raises SmokeError unless SES lets this account send as the sender: a link may still have to be opened."""
    try:
        found = client("sesv2").get_email_identity(EmailIdentity=options.mail_identity)
    except ClientError as exc:
        raise SmokeError(f"SES does not know the identity {options.mail_identity}: {exc}") from exc
    if not found["VerifiedForSendingStatus"]:
        raise SmokeError(f"{options.mail_identity} is not verified yet; open the link that SES has sent")
