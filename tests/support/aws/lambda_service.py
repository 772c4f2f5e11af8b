"""Lambda for a stack in moto: what invokes its functions, each in a container, and what Lambda does on their behalf."""

from __future__ import annotations

import base64
import json
import re
import time
from typing import TYPE_CHECKING, Any

from scripts import local_aws
from tests.support.aws.fake_lambda import record
from tests.support.aws.judge import REGION
from tests.support.aws.moto_stack import API_ID
from tests.support.processes.containers import docker
from tests.support.processes.lambda_container import LambdaContainer, Package
from tests.support.web.clients import Answer, event

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.support.aws.moto_stack import MotoStack
    from tests.support.processes.lambda_container import Network

ANY = "x-amazon-apigateway-any-method"
# The complete example of https://docs.aws.amazon.com/lambda/latest/dg/with-eventbridge-scheduler.html.
SCHEDULED = {
    "version": "0",
    "account": "123456789012",
    "region": REGION,
    "detail-type": "Scheduled Event",
    "source": "aws.events",
    "time": "2026-11-27T00:00:00Z",
    "id": "12345678-1234-1234-1234-123456789012",
    "detail": {},
}
# The calls of Lambda itself as the role of a function: for each function, and for one that a queue invokes.
OF_EVERY_FUNCTION = {"logs:CreateLogStream", "logs:PutLogEvents"}
OF_A_MAPPING = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}


class LambdaService:
    """Runs the functions of ``stack`` as they are deployed at the moment of each event.

    ``folder`` gets their code. ``hosts`` are the names that containers can look up.
    """

    def __init__(self, stack: MotoStack, network: Network, folder: Path, hosts: Mapping[str, str]) -> None:
        self.stack = stack
        self.network = network
        self._folder = folder
        self._hosts = {f"{API_ID}.execute-api.{REGION}.amazonaws.com": network.unused, **hosts}
        self.containers: dict[tuple[str, str], LambdaContainer] = {}
        self._logged: dict[str, int] = {}

    def close(self) -> None:
        """Remove the containers."""
        if self.containers:
            docker("rm", "--force", *(container.name for container in self.containers.values()))

    # --- Execution environments

    def container(self, function: str) -> LambdaContainer:
        """The environment of the function with its current code, layer and variables."""
        configuration = self.stack.configuration(function)
        properties = self.stack.resource(function)
        code = properties["Code"]
        content = self.stack.resource(self.stack.layer(function))["Content"]
        version = json.dumps([code, content, configuration["Environment"]["Variables"]])
        if (function, version) not in self.containers:
            digest = self.stack.unpack(code, self._folder)
            assert digest == configuration["CodeSha256"], "the function in moto has other code"
            self.stack.unpack(content, self._folder)
            self.containers[function, version] = LambdaContainer(
                self.network,
                Package(self._folder / code["S3Key"], self._folder / content["S3Key"]),
                {**configuration["Environment"]["Variables"], **self.reserved(function)},
                megabytes=configuration["MemorySize"],
                hosts=self._hosts,
            )
        return self.containers[function, version]

    def reserved(self, function: str) -> dict[str, str]:
        """The variables that Lambda itself sets, and the one that leads to moto instead of AWS.

        https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
        """
        configuration, logging = self.stack.configuration(function), self.stack.resource(function)["LoggingConfig"]
        return {
            "AWS_ACCESS_KEY_ID": self.stack.role(function),
            "AWS_SECRET_ACCESS_KEY": local_aws.ENVIRONMENT["AWS_SECRET_ACCESS_KEY"],
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_LAMBDA_FUNCTION_NAME": configuration["FunctionName"],
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(configuration["MemorySize"]),
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(configuration["Timeout"]),  # of the emulator
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_FORMAT": logging["LogFormat"],
            "AWS_LAMBDA_LOG_LEVEL": logging["ApplicationLogLevel"],
            "AWS_LAMBDA_LOG_GROUP_NAME": logging["LogGroup"],
            "AWS_ENDPOINT_URL": self.stack.moto.endpoint,
        }

    def invoke(self, function: str, payload: Any) -> Any:
        """The response of the function to one event; its new log lines are delivered."""
        container = self.container(function)
        seconds = self.stack.configuration(function)["Timeout"]
        try:
            return container.invoke(payload, seconds=seconds)
        finally:
            self._deliver(function, container)

    def _deliver(self, function: str, container: LambdaContainer) -> None:
        logs = self.stack.moto.client("logs", self.stack.role(function))
        group = self.stack.resource(function)["LoggingConfig"]["LogGroup"]
        if container.name not in self._logged:
            logs.create_log_stream(logGroupName=group, logStreamName=container.name)
        lines = container.lines()[self._logged.get(container.name, 0) :]
        self._logged[container.name] = self._logged.get(container.name, 0) + len(lines)
        now = round(time.time() * 1000)
        events = [{"timestamp": now, "message": json.dumps(line)} for line in lines]
        if events:
            logs.put_log_events(logGroupName=group, logStreamName=container.name, logEvents=events)

    # --- What invokes functions

    def request(self, method: str, target: str, body: Any = None, **headers: str) -> Answer:
        """Pass a request to the function that the API's route integrates, as API Gateway does."""
        path = target.partition("?")[0]
        route = self.stack.translated["Resources"]["Api"]["Properties"]["Body"]["paths"][path][ANY]
        uri = route["x-amazon-apigateway-integration"]["uri"]["Fn::Sub"]
        match = re.search(r"functions/\$\{(\w+Function)Alias\w+\}/invocations$", uri)
        assert match is not None, uri
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            named.setdefault("Content-Type", "application/json")
        result = self.invoke(
            match[1], event(method, target, None if body is None else json.dumps(body).encode(), named)
        )
        raw = result.get("body", "")
        content = base64.b64decode(raw) if result["isBase64Encoded"] else raw.encode()
        return Answer(result["statusCode"], result["headers"], content)

    def poll(self) -> int:
        """Deliver what the queues hold, as the event source mappings do; return the number of messages."""
        lambdas, root = self.stack.moto.client("lambda"), self.stack.moto.client("sqs")
        delivered = 0
        for mapping in lambdas.list_event_source_mappings()["EventSourceMappings"]:
            [function] = [
                name
                for name, physical in self.stack.physical.items()
                if physical == mapping["FunctionArn"].rpartition(":")[2]
            ]
            assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
            url = root.get_queue_url(QueueName=mapping["EventSourceArn"].rpartition(":")[2])["QueueUrl"]
            queue = self.stack.moto.client("sqs", self.stack.role(function))
            # Lambda reads how much waits, and scales by it.
            queue.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
            messages = queue.receive_message(QueueUrl=url, MaxNumberOfMessages=mapping["BatchSize"]).get("Messages", [])
            if not messages:
                continue
            records = [
                {**record(m["Body"], m["MessageId"]), "receiptHandle": m["ReceiptHandle"], "awsRegion": REGION}
                for m in messages
            ]
            failures = {f["itemIdentifier"] for f in self.invoke(function, {"Records": records})["batchItemFailures"]}
            for message in messages:
                if message["MessageId"] not in failures:
                    queue.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            delivered += len(messages)
        return delivered

    def tick(self) -> Any:
        """Invoke what the schedule names, as EventBridge does; return its response."""
        events = self.stack.moto.client("events")
        [rule] = events.list_rules()["Rules"]
        assert (rule["ScheduleExpression"], rule["State"]) == ("rate(5 minutes)", "ENABLED")
        [target] = events.list_targets_by_rule(Rule=rule["Name"])["Targets"]
        [function] = [name for name, physical in self.stack.physical.items() if target["Arn"].endswith(f":{physical}")]
        return self.invoke(function, {**SCHEDULED, "resources": [rule["Arn"]]})
