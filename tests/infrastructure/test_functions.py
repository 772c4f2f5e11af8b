"""What every function has in common, and what the layer holds."""

from __future__ import annotations

import importlib
from contextlib import closing

import pytest

from tests.support.aws import template
from tests.support.aws.deployment import deploy
from tests.support.web.clients import GatewayClient
from urlsum.settings import Settings, load, parse

FUNCTIONS = {
    "SubmitFunction": "submit",
    "CheckFunction": "check",
    "HashWorkerFunction": "hash_worker",
    "SweeperFunction": "sweeper",
}


def environment(function: str, **parameters: str | int) -> dict[str, str]:
    """The environment variables that a function gets."""
    variables: dict[str, str] = deploy(**parameters)[function]["Environment"]["Variables"]
    return variables


def test_there_are_these_functions_and_no_others() -> None:
    assert deploy().of_type("AWS::Lambda::Function").keys() == FUNCTIONS.keys()


@pytest.mark.parametrize(("function", "folder"), FUNCTIONS.items())
def test_each_function_is_a_folder_with_a_handler(function: str, folder: str) -> None:
    source = template.load()["Resources"][function]["Properties"]
    assert source["CodeUri"] == f"functions/{folder}/"
    assert (template.PATH.parent / source["CodeUri"] / "app.py").is_file()
    assert deploy()[function]["Handler"] == "app.handler"


@pytest.mark.parametrize("architecture", ["arm64", "x86_64"])
def test_functions_and_layer_are_of_one_architecture_and_one_python(architecture: str) -> None:
    deployment = deploy(Architecture=architecture)
    layers = deployment.of_type("AWS::Lambda::LayerVersion")
    [(name, layer)] = layers.items()
    assert layer["CompatibleArchitectures"] == [architecture]
    for function in FUNCTIONS:
        properties = deployment[function]
        assert properties["Architectures"] == [architecture]
        assert properties["Layers"] == [name]
        assert [properties["Runtime"]] == layer["CompatibleRuntimes"]
    built = template.load()["Resources"]["Layer"]["Metadata"]
    assert deployment.resolver(built) == {"BuildMethod": "python3.13", "BuildArchitecture": architecture}


def test_arm64_is_what_one_gets_without_asking() -> None:
    assert deploy()["SubmitFunction"]["Architectures"] == ["arm64"]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_variable_is_a_setting_that_something_reads(function: str) -> None:
    settings = {name.upper() for name in Settings.__struct_fields__}
    assert environment(function).keys() <= settings


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_settings_are_valid(function: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(function).items():
        monkeypatch.setenv(name, value)
    settings = load()
    assert settings.tasks_table == "TasksTable"


def test_who_sends_messages_knows_the_queue_and_who_only_reads_does_not() -> None:
    for sender in ("SubmitFunction", "HashWorkerFunction", "SweeperFunction"):
        assert environment(sender)["TASKS_QUEUE_URL"] == "TasksQueue"
        assert environment(sender)["CONTINUATIONS_QUEUE_URL"] == "ContinuationsQueue"
    assert "TASKS_QUEUE_URL" not in environment("CheckFunction")


def test_worker_and_sweeper_agree_about_leases_and_attempts() -> None:
    for name in ("LEASE_SECONDS", "MAX_ATTEMPTS"):
        assert environment("HashWorkerFunction").get(name) == environment("SweeperFunction").get(name)


def test_the_worker_mails_through_ses_as_the_chosen_sender() -> None:
    variables = environment("HashWorkerFunction", MailFrom="sums@example.com")
    assert (variables["MAIL_BACKEND"], variables["MAIL_FROM"]) == ("ses", "sums@example.com")


def test_mails_link_to_the_chosen_address_or_else_to_the_api_itself() -> None:
    chosen = "https://sums.example.org"
    assert environment("HashWorkerFunction", PublicUrl=chosen)["PUBLIC_URL"] == chosen
    own = environment("HashWorkerFunction")["PUBLIC_URL"]
    assert own == "https://Api.execute-api.us-east-1.amazonaws.com" == deploy().resolver.output("ApiUrl")


@pytest.mark.parametrize("function", ["SubmitFunction", "CheckFunction"])
def test_behind_a_mapped_domain_a_function_answers_on_the_paths_that_are_sent_to_it(function: str) -> None:
    chosen = "https://files.example.org/sums"
    app = importlib.import_module(f"functions.{FUNCTIONS[function]}.app").app
    url = environment(function, PublicUrl=chosen)["PUBLIC_URL"]
    path = {"SubmitFunction": "/sums/submit", "CheckFunction": "/sums/check"}[function]
    with closing(GatewayClient(app, settings=Settings(public_url=url))) as client:
        answer = client.request("OPTIONS", path)
    assert (answer.status, "OPTIONS" in answer.headers["allow"]) == (204, True)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_each_function_logs_json_into_a_group_of_its_own(function: str) -> None:
    group = function.removesuffix("Function") + "Logs"
    logging = {"LogFormat": "JSON", "ApplicationLogLevel": "INFO", "LogGroup": group}
    # A request has a line of the gateway; what a worker or a sweep took, only Lambda reports.
    system = {"SystemLogLevel": "WARN"} if function in ("SubmitFunction", "CheckFunction") else {}
    assert deploy()[function]["LoggingConfig"] == logging | system
    assert group in deploy().of_type("AWS::Logs::LogGroup")


def test_the_api_keys_reach_the_function_that_takes_submissions() -> None:
    given = {"ApiKeys": f"lab:{'0' * 64}:day=5;bytes=0", "RequireApiKey": "true"}
    variables = environment("SubmitFunction", **given)
    assert parse({name.lower(): variables[name] for name in ("API_KEYS", "REQUIRE_API_KEY")}).require_api_key
    assert template.load()["Parameters"]["ApiKeys"]["NoEcho"] is True
    # Without them the function starts, too.
    assert (environment("SubmitFunction")["API_KEYS"], environment("SubmitFunction")["REQUIRE_API_KEY"]) == (
        "",
        "false",
    )
