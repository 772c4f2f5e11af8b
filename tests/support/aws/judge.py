"""Judges the calls of functions by the roles that a stack has given them, in front of moto, which allows everything.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

from __future__ import annotations

import json
import re
import threading
from dataclasses import dataclass, field
from email.utils import parseaddr
from fnmatch import fnmatchcase
from io import BytesIO
from typing import TYPE_CHECKING, Any

from tests.support.aws.intrinsics import PSEUDO_PARAMETERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

REGION, ACCOUNT = PSEUDO_PARAMETERS["AWS::Region"], PSEUDO_PARAMETERS["AWS::AccountId"]
# Signature version 4 names the key and the service of a request.
SIGNED = re.compile(r"Credential=([^/]+)/\d+/[^/]+/([^/]+)/aws4_request")
# What a call has that the judge does not know: no role allows it.
UNKNOWN = "unknown"

Statement = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """One request: who sent it (an address), as which role, and what a policy is asked about it."""

    sender: str
    role: str
    action: str
    resource: str
    context: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, order=True)
class Permission:
    """One action on one resource that a statement allows a role."""

    role: str
    action: str
    resource: str


def _listed(value: str | list[str | None]) -> list[str]:
    # moto leaves None where CloudFormation removes AWS::NoValue.
    return [value] if isinstance(value, str) else [item for item in value if item is not None]


def _matches(pattern: str, text: str) -> bool:
    # IAM has `*` and `?`, and takes a bracket as it is.
    return fnmatchcase(text, pattern.replace("[", "[[]"))


def allows(statement: Statement, call: Call) -> bool:
    """Whether ``statement`` allows ``call``. Raises NotImplementedError for what this judge cannot weigh."""
    if statement["Effect"] != "Allow" or not statement.keys() <= {"Effect", "Action", "Resource", "Condition"}:
        raise NotImplementedError(statement)
    context = dict(call.context)
    for operator, wanted in statement.get("Condition", {}).items():
        if operator != "StringEquals":
            raise NotImplementedError(operator)
        if any(context.get(key) not in _listed(values) for key, values in wanted.items()):
            return False
    return any(_matches(action, call.action) for action in _listed(statement["Action"])) and any(
        _matches(resource, call.resource) for resource in _listed(statement["Resource"])
    )


def split(role: str, statements: Iterable[Statement]) -> dict[Permission, Statement]:
    """The permissions of ``role``, each with a statement that allows it and nothing else."""
    return {
        Permission(role, action, resource): {**statement, "Action": action, "Resource": resource}
        for statement in statements
        for action in _listed(statement["Action"])
        for resource in _listed(statement["Resource"])
    }


@dataclass(frozen=True)
class Verdict:
    """What the calls say of the roles, both ways."""

    denied: frozenset[Call]
    unused: frozenset[Permission]


def verdict(calls: Iterable[Call], permissions: Mapping[Permission, Statement]) -> Verdict:
    """Judge ``calls`` by ``permissions``: those that none allows, and the permissions that allow none."""
    denied, used = set(), set()
    for call in set(calls):
        allowing = {p for p, statement in permissions.items() if p.role == call.role and allows(statement, call)}
        used |= allowing
        if not allowing:
            denied.add(call)
    return Verdict(frozenset(denied), frozenset(permissions.keys() - used))


# --- What a request asks for: the actions and resources of
# https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html


def arn(service: str, resource: str) -> str:
    """The ARN of a resource of this region and account."""
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"


def _dynamodb(body: Mapping[str, Any]) -> list[str]:
    if "RequestItems" in body:  # of a batch
        return [arn("dynamodb", f"table/{name}") for name in body["RequestItems"]]
    if "TableName" not in body:
        return [UNKNOWN]
    index = f"/index/{body['IndexName']}" if "IndexName" in body else ""
    return [arn("dynamodb", f"table/{body['TableName']}{index}")]


def _sqs(body: Mapping[str, Any]) -> list[str]:
    return [arn("sqs", body["QueueUrl"].rpartition("/")[2]) if "QueueUrl" in body else UNKNOWN]


def _ssm(body: Mapping[str, Any]) -> list[str]:
    return [arn("ssm", f"parameter/{body['Name'].lstrip('/')}") if "Name" in body else UNKNOWN]


def _logs(body: Mapping[str, Any]) -> list[str]:
    return [arn("logs", f"log-group:{body['logGroupName']}:log-stream:{body['logStreamName']}")]


RESOURCES = {"dynamodb": _dynamodb, "sqs": _sqs, "ssm": _ssm, "logs": _logs}


def read(environ: WSGIEnvironment, body: bytes) -> list[Call]:
    """What the signed request asks for, all of which must be allowed.

    An action or a resource that this judge does not know is ``unknown``.
    """
    signed = SIGNED.search(environ["HTTP_AUTHORIZATION"])
    assert signed is not None
    role, service = signed.groups()
    sender = environ["REMOTE_ADDR"]
    if service == "ses" and (environ["REQUEST_METHOD"], environ["PATH_INFO"]) == ("POST", "/v2/email/outbound-emails"):
        return _email(sender, role, json.loads(body))
    operation = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2]
    if service not in RESOURCES or not operation:
        return [Call(sender, role, f"{service}:{operation or UNKNOWN}", UNKNOWN)]
    return [Call(sender, role, f"{service}:{operation}", name) for name in RESOURCES[service](json.loads(body))]


def _email(sender: str, role: str, body: Mapping[str, Any]) -> list[Call]:
    address = parseaddr(body["FromEmailAddress"])[1]
    names = [f"identity/{address}"]
    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsimpleemailservicev2.html
    names += [f"configuration-set/{body['ConfigurationSetName']}"] if "ConfigurationSetName" in body else []
    return [Call(sender, role, "ses:SendEmail", arn("ses", name), (("ses:FromAddress", address),)) for name in names]


@dataclass
class Judge:
    """A WSGI application in front of ``app``: records every call of a role, and refuses those that it may not make.

    The access key of a function is the name of its role. Calls with other keys are the test's own.
    """

    app: WSGIApplication
    statements: dict[str, Sequence[Statement]] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    refused: list[Call] = field(default_factory=list)
    # moto checks a condition and then writes, without a lock; DynamoDB does both atomically.
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        signed = SIGNED.search(environ.get("HTTP_AUTHORIZATION", ""))
        with self._lock:
            if signed is not None and signed[1] in self.statements:
                body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
                environ["wsgi.input"] = BytesIO(body)
                calls = read(environ, body)
                for call in calls:
                    if not any(allows(statement, call) for statement in self.statements[call.role]):
                        self.refused.append(call)
                        return _refuse(call, start_response)
                self.calls += calls
            return list(self.app(environ, start_response))


def _refuse(call: Call, start_response: StartResponse) -> Iterable[bytes]:
    text = f"{call.role} is not authorized to perform: {call.action} on resource: {call.resource}"
    body = json.dumps({"__type": "AccessDeniedException", "message": text}).encode()
    fields = [("Content-Type", "application/x-amz-json-1.0"), ("x-amzn-ErrorType", "AccessDeniedException")]
    start_response("400 Bad Request", [*fields, ("Content-Length", str(len(body)))])
    return [body]
