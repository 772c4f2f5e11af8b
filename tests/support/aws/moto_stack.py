"""A stack of a built template in moto: package, translate, CloudFormation, and every call judged.

Moto's CloudFormation does not make all that AWS makes. ``UNMADE`` and ``DROPPED`` name the difference.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import threading
import zipfile
from base64 import b64encode
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from io import BytesIO
from typing import TYPE_CHECKING, Any

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-untyped]
from werkzeug.serving import make_server

from scripts import local_aws
from scripts.sam_build import sam
from tests.support.aws import template, translation
from tests.support.aws.intrinsics import PSEUDO_PARAMETERS, Resolver
from tests.support.aws.judge import REGION, Judge, arn
from tests.support.aws.moto_process import Silent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.aws.intrinsics import Template
    from tests.support.aws.judge import Statement

NAME = PSEUDO_PARAMETERS["AWS::StackName"]
BUCKET = "artifacts"
API_ID = "a1b2c3d4e5"
ALIAS = re.compile(r"(\w+Function)Alias\w+")
# The types of which moto's CloudFormation makes nothing, and what stands in for them.
UNMADE = {
    "AWS::ApiGatewayV2::Api": "lambda_service reads its routes in the translation",
    "AWS::ApiGatewayV2::Stage": "the only one is $default",
    "AWS::Lambda::Alias": "its function, whose code is that of the version it points at",
    "AWS::Lambda::EventInvokeConfig": "no event is invoked twice",
    "AWS::Logs::MetricFilter": "tests/infrastructure/test_watching.py counts the lines that it matches",
    "AWS::SES::ConfigurationSet": "its name, as nothing is sent",
    "AWS::SES::EmailIdentity": "a call of SES",
}
# Properties that moto takes without a word and forgets.
DROPPED = {
    "AWS::DynamoDB::Table": {
        "TimeToLiveSpecification",
        "PointInTimeRecoverySpecification",
        "SSESpecification",
    },
    # Not even taken: an update of a function with layers fails. lambda_service finds the layer in the translation.
    "AWS::Lambda::Function": {"Layers", "LoggingConfig", "RecursiveLoop"},
    "AWS::SQS::Queue": {"RedriveAllowPolicy"},
}
# The types that moto's CloudFormation makes and deletes, but cannot change. An update leaves such a resource as it is;
# MotoStack sets the policies of roles.
NEVER_CHANGED = {
    "AWS::DynamoDB::Table",
    "AWS::IAM::Role",
    "AWS::Lambda::LayerVersion",
    "AWS::Lambda::Permission",
    "AWS::Lambda::Version",
    "AWS::Logs::LogGroup",
}


@dataclass(frozen=True)
class Moto:
    """A running moto at ``endpoint``, and the judge in front of it."""

    endpoint: str
    judge: Judge
    packaged: dict[Path, Template] = field(default_factory=dict)
    _clients: dict[tuple[str, str | None], Any] = field(default_factory=dict)

    def client(self, service: str, role: str | None = None) -> Any:
        """A client of ``service`` with the credentials of ``role``, or with those of an administrator."""
        if (service, role) not in self._clients:
            self._clients[service, role] = self._client(service, role)
        return self._clients[service, role]

    def _client(self, service: str, role: str | None) -> Any:
        session = boto3.Session(
            aws_access_key_id=role or local_aws.ENVIRONMENT["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=local_aws.ENVIRONMENT["AWS_SECRET_ACCESS_KEY"],
            region_name=REGION,
        )
        return session.client(service, endpoint_url=self.endpoint)  # type: ignore[call-overload]


@contextmanager
def judged_moto(host: str) -> Iterator[Moto]:
    """Run moto on a free port of ``host``."""
    judge = Judge(DomainDispatcherApplication(create_backend_app))
    server = make_server(host, 0, judge, threaded=True, request_handler=Silent)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield Moto(f"http://{host}:{server.server_port}", judge)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def package(build: Path, moto: Moto) -> Template:
    """The built template after ``sam package``: its folders are in the bucket. Cached for a test run."""
    if build not in moto.packaged:
        moto.packaged[build] = _package(build, moto.endpoint)
    return moto.packaged[build]


def _package(build: Path, endpoint: str) -> Template:
    output = build / "packaged.yaml"
    subprocess.run(
        [
            *(sam(), "package", "--template-file", str(build / "template.yaml"), "--output-template-file", str(output)),
            *("--s3-bucket", BUCKET, "--no-progressbar"),
        ],
        env={
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            **local_aws.ENVIRONMENT,
            "AWS_ENDPOINT_URL": endpoint,
            "SAM_CLI_TELEMETRY": "0",
        },
        cwd=build,
        capture_output=True,
        check=True,
    )
    packaged: Template = yaml_parse(output.read_text(encoding="utf-8"))
    return packaged


def for_moto(translated: Template) -> Template:
    """The translation without what moto cannot make, and without references to it."""
    gone = {name for name, resource in translated["Resources"].items() if resource["Type"] in UNMADE}
    kept = {name: resource for name, resource in translated["Resources"].items() if name not in gone}
    changed: Template = _changed({**translated, "Resources": kept}, gone)
    for resource in changed["Resources"].values():
        if resource["Type"] == "AWS::Lambda::Function":
            del resource["Properties"]["Layers"]
    return changed


def _changed(value: Any, gone: set[str]) -> Any:
    """``value`` without references to the resources in ``gone``."""
    if isinstance(value, list):
        return [_changed(item, gone) for item in value]
    if isinstance(value, str):
        return re.sub(r"\$\{(\w+)\}", lambda match: _name(match[1]) if match[1] in gone else match[0], value)
    match value:
        case {"Ref": str(name)} if name in gone:
            alias = ALIAS.fullmatch(name)
            return {"Fn::GetAtt": [alias[1], "Arn"]} if alias else _name(name)
        case {"Fn::GetAtt": [str(name), "Arn"]} if name.endswith("Logs"):
            return {"Fn::Sub": f"${{{name}.Arn}}:*"}  # as AWS's, which moto's lacks
        case {}:
            return {key: _changed(item, gone) for key, item in value.items()}
    return value


def _name(unmade: str) -> str:
    return API_ID if unmade == "Api" else unmade


class MotoStack:
    """The stack ``urlsum`` in moto; ``translated`` is what it was last created or updated from."""

    def __init__(self, moto: Moto, build: Path, **parameters: str) -> None:
        self.moto = moto
        self.parameters = {**template.PARAMETERS, **parameters}
        self._formation = moto.client("cloudformation")
        self._resources: dict[str, Any] = {}
        self._put(build, self._formation.create_stack)
        moto.client("sesv2").create_email_identity(EmailIdentity=self.resource("MailSender")["EmailIdentity"])

    def update(self, build: Path) -> None:
        """Update the stack to another build."""
        self._put(build, self._formation.update_stack)
        identity = self.moto.client("iam")
        for name in self._roles():
            for policy in self.resource(name)["Policies"]:
                identity.put_role_policy(
                    RoleName=self.physical[name],
                    PolicyName=policy["PolicyName"],
                    PolicyDocument=json.dumps(policy["PolicyDocument"]),
                )
        self._inform_judge()

    def _put(self, build: Path, call: Any) -> None:
        self.translated = translation.translate(package(build, self.moto), self.parameters)
        from moto.cloudformation.parsing import get_model_map  # noqa: PLC0415 - loads all of moto, in 0.5 s

        unnamed = self._types() - get_model_map().keys() - UNMADE.keys()
        assert not unnamed, f"moto's CloudFormation makes nothing of {unnamed}; UNMADE has to say what stands in"
        made = for_moto(self.translated)
        made["Resources"] |= {
            name: resource
            for name, resource in self._resources.items()
            if resource["Type"] in NEVER_CHANGED and name in made["Resources"]
        }
        self._resources = made["Resources"]
        call(
            StackName=NAME,
            TemplateBody=json.dumps(made),
            Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in self.parameters.items()],
            Capabilities=["CAPABILITY_IAM"],
        )
        self.physical = {
            item["LogicalResourceId"]: item["PhysicalResourceId"]
            for item in self._formation.get_paginator("list_stack_resources")
            .paginate(StackName=NAME)
            .search("StackResourceSummaries")
            if item["LogicalResourceId"]  # moto lists the parameters as well
        }
        # The proof delivers messages itself: moto would do so from within the call that sends one.
        functions = self.moto.client("lambda")
        for mapping in functions.list_event_source_mappings()["EventSourceMappings"]:
            functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
        self._inform_judge()

    def _types(self) -> set[str]:
        resolve = Resolver(self.translated, self.parameters)
        resources = self.translated["Resources"].values()
        return {r["Type"] for r in resources if "Condition" not in r or resolve.condition(r["Condition"])}

    def _roles(self) -> list[str]:
        return [name for name, resource in self.translated["Resources"].items() if resource["Type"] == "AWS::IAM::Role"]

    def _inform_judge(self) -> None:
        roles = [self.physical[name] for name in self._roles()]
        self.moto.judge.statements = {role: self._statements(role) for role in roles}

    def _statements(self, role: str) -> list[Statement]:
        identity = self.moto.client("iam")
        names = identity.list_role_policies(RoleName=role)["PolicyNames"]
        found = []
        for name in names:
            document = identity.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
            # moto shows a policy that CloudFormation made as Python writes it.
            found += (ast.literal_eval(document) if isinstance(document, str) else document)["Statement"]
        return found

    def resolver(self) -> Resolver:
        """Resolves the translation with the names that moto gave."""
        named = {(logical, ""): physical for logical, physical in self.physical.items()}
        arns = {(logical, "Arn"): self._arn(logical) for logical in self.physical}
        return Resolver(self.translated, self.parameters, {**named, **arns, ("Api", ""): API_ID})

    def _arn(self, logical: str) -> str:
        name = self.physical[logical].rpartition("/")[2]  # a queue's is its URL
        match self.translated["Resources"][logical]["Type"]:
            case "AWS::DynamoDB::Table":
                return arn("dynamodb", f"table/{name}")
            case "AWS::SQS::Queue":
                return arn("sqs", name)
            case "AWS::Logs::LogGroup":
                return arn("logs", f"log-group:{name}:*")
        return f"{logical}.Arn"

    def resource(self, name: str) -> dict[str, Any]:
        """The properties of a resource in the translation, with the names that moto gave."""
        return self.resolver().resource(name)

    def configuration(self, function: str) -> dict[str, Any]:
        """The function as moto has it."""
        found: dict[str, Any] = self.moto.client("lambda").get_function_configuration(
            FunctionName=self.physical[function]
        )
        return found

    def role(self, function: str) -> str:
        """The name of the role that the function runs as."""
        name: str = self.configuration(function)["Role"].rpartition("/")[2]
        return name

    def layer(self, function: str) -> str:
        """The logical id of the function's layer, which moto does not keep."""
        [layer] = self.translated["Resources"][function]["Properties"]["Layers"]
        name: str = layer["Ref"]
        return name

    def unpack(self, where: dict[str, str], folder: Path) -> str:
        """Unpack an object of the bucket into a folder of ``folder``, once; return the SHA-256 as Lambda shows it."""
        data = self.moto.client("s3").get_object(Bucket=where["S3Bucket"], Key=where["S3Key"])["Body"].read()
        if not (folder / where["S3Key"]).exists():
            zipfile.ZipFile(BytesIO(data)).extractall(folder / where["S3Key"])
        return b64encode(sha256(data).digest()).decode()
