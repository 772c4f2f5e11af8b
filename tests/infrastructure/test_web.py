"""The HTTP API: its routes, who may call what, and its limits."""

from __future__ import annotations

import importlib
import json

import pytest

from tests.support.aws import template
from tests.support.aws.deployment import deploy
from urlsum.queues import sqs
from urlsum.secret import ssm
from urlsum.tables import dynamodb

# Whatever the method: what a path does not take is refused by the application, as on one machine.
ROUTES = {
    "/": "SubmitFunction",
    "/submit": "SubmitFunction",
    "/unsubscribe": "SubmitFunction",
    "/docs": "SubmitFunction",
    "/openapi.json": "SubmitFunction",
    "/check": "CheckFunction",
    "/md5.js": "CheckFunction",
}
ANY = "x-amazon-apigateway-any-method"
# What API Gateway waits for a function at most.
# https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
GATEWAY_SECONDS = 30


def test_each_route_is_integrated_with_its_function_and_there_are_no_others() -> None:
    paths = deploy()["Api"]["Body"]["paths"]
    assert paths.keys() == ROUTES.keys()
    for path, function in ROUTES.items():
        assert paths[path].keys() == {ANY}
        integration = paths[path][ANY]["x-amazon-apigateway-integration"]
        assert f"functions/{function}Aliaslive/invocations" in integration["uri"]
        # The event that Mangum and the handlers are written for.
        assert (integration["type"], integration["payloadFormatVersion"]) == ("aws_proxy", "2.0")


@pytest.mark.parametrize("function", sorted(set(ROUTES.values())))
def test_a_function_serves_the_paths_that_are_routed_to_it_and_no_others(function: str) -> None:
    folder = template.load()["Resources"][function]["Properties"]["CodeUri"].removesuffix("/").replace("/", ".")
    router = importlib.import_module(f"{folder}.app").router
    assert {route.path for route in router.routes} == {path for path, name in ROUTES.items() if name == function}


def test_the_api_may_invoke_each_function_on_its_paths_only() -> None:
    permissions = {
        (permission["FunctionName"], permission["Principal"], permission["Action"], permission["SourceArn"])
        for permission in deploy().of_type("AWS::Lambda::Permission").values()
        if permission["Principal"] == "apigateway.amazonaws.com"
    }
    # The asterisks stand for the API's stage, of which there is one, and for the method.
    arn = "arn:aws:execute-api:us-east-1:123456789012:Api/*/*"
    assert permissions == {
        (f"{function}Aliaslive", "apigateway.amazonaws.com", "lambda:InvokeFunction", f"{arn}{path}")
        for path, function in ROUTES.items()
    }


def test_an_answer_comes_before_the_gateway_gives_up() -> None:
    assert all(deploy()[function]["Timeout"] < GATEWAY_SECONDS for function in ROUTES.values())


def test_a_silent_parameter_store_is_reported_before_the_function_is_cut_off() -> None:
    requests = 3  # read, create, read what another function created
    silent = (ssm.CONNECT_SECONDS + ssm.READ_SECONDS) * ssm.TRIES * requests + sum(ssm.PAUSES_SECONDS)
    assert silent < deploy()["SubmitFunction"]["Timeout"]


def test_a_silent_table_or_queue_is_reported_before_the_function_is_cut_off() -> None:
    table = (dynamodb.CONNECT_SECONDS + dynamodb.READ_SECONDS) * (1 + dynamodb.RETRIES)
    queue = (sqs.CONNECT_SECONDS + sqs.ANSWER_SECONDS) * sqs.TRIES
    assert all(max(table, queue) < deploy()[function]["Timeout"] for function in ROUTES.values())


def test_requests_are_throttled() -> None:
    settings = deploy()["ApiApiGatewayDefaultStage"]["DefaultRouteSettings"]
    assert 0 < settings["ThrottlingRateLimit"] <= settings["ThrottlingBurstLimit"] <= 100


def test_the_access_log_is_json_and_keeps_no_ids_of_tasks() -> None:
    settings = deploy()["ApiApiGatewayDefaultStage"]["AccessLogSettings"]
    assert settings["DestinationArn"] == "ApiLogs.Arn"
    line = json.loads(settings["Format"])
    assert {"ip", "method", "route", "status", "ms", "error"} <= line.keys()
    # The one that Lambda writes into each line of the function's own log.
    assert line["requestId"] == "$context.integration.requestId"
    # https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-logging.html
    assert "$context.requestId" in line.values()
    assert not any("path" in value or "query" in value.lower() for value in line.values())
