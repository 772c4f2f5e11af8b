"""The HTTP API: its routes, who may call what, and its limits."""

from __future__ import annotations

import json

from tests.support.deployment import deploy
from urlsum.queues import sqs
from urlsum.tables import dynamodb

ROUTES = {
    ("GET", "/"): "SubmitFunction",
    ("POST", "/submit"): "SubmitFunction",
    ("GET", "/check"): "CheckFunction",
    ("DELETE", "/check"): "CheckFunction",
}
# What API Gateway waits for a function at most.
# https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
GATEWAY_SECONDS = 30


def test_each_route_is_integrated_with_its_function_and_there_are_no_others() -> None:
    routes = {
        (method.upper(), path): operation["x-amazon-apigateway-integration"]
        for path, methods in deploy()["Api"]["Body"]["paths"].items()
        for method, operation in methods.items()
    }
    assert routes.keys() == ROUTES.keys()
    for route, function in ROUTES.items():
        assert f"functions/{function}.Arn/invocations" in routes[route]["uri"]
        # The event that Mangum and the handlers are written for.
        assert (routes[route]["type"], routes[route]["payloadFormatVersion"]) == ("aws_proxy", "2.0")


def test_the_api_may_invoke_each_function_on_its_route_only() -> None:
    permissions = {
        (permission["FunctionName"], permission["Principal"], permission["Action"], permission["SourceArn"])
        for permission in deploy().of_type("AWS::Lambda::Permission").values()
        if permission["FunctionName"] in ROUTES.values()
    }
    # The asterisk stands for the API's stage, of which there is one.
    arn = "arn:aws:execute-api:us-east-1:123456789012:Api/*/"
    assert permissions == {
        (function, "apigateway.amazonaws.com", "lambda:InvokeFunction", f"{arn}{method}{path}")
        for (method, path), function in ROUTES.items()
    }


def test_an_answer_comes_before_the_gateway_gives_up() -> None:
    assert all(deploy()[function]["Timeout"] < GATEWAY_SECONDS for function in ROUTES.values())


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
    assert {"ip", "route", "status", "milliseconds"} <= line.keys()
    assert not any("path" in value or "query" in value.lower() for value in line.values())
