"""What compose.yaml opens and how much it lets a service take, without a Docker engine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-untyped]

from selfhost.memory import LEAST_BYTES, MIB

FILE: dict[str, Any] = yaml_parse((Path(__file__).parents[2] / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = FILE["services"]


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_limited(name: str) -> None:
    assert re.fullmatch(r"[1-9]\d*[mg]", SERVICES[name]["mem_limit"])
    assert SERVICES[name]["pids_limit"] > 0


def test_ports_are_published_on_loopback_unless_somebody_opens_them() -> None:
    ports = [re.sub(r"\$\{\w+:-(.*?)\}", r"\1", port) for each in SERVICES.values() for port in each.get("ports", [])]
    assert sorted(ports) == ["127.0.0.1:8000:5000", "127.0.0.1:8025:1080"]


def test_nothing_that_exists_once_on_a_host_has_a_fixed_name() -> None:
    assert "name" not in FILE
    assert not [each for kind in ("volumes", "networks") for each in FILE[kind].values() if "name" in each]
    assert not [name for name, service in SERVICES.items() if "container_name" in service]
    built = {name: service.get("image", "${COMPOSE}") for name, service in SERVICES.items() if "build" in service}
    assert {name for name, image in built.items() if "${" in image} == built.keys() == {"api", "worker", "mail"}
    assert [port for service in SERVICES.values() for port in service.get("ports", []) if "${" not in port] == []


def test_a_worker_may_use_several_times_the_memory_that_it_needs() -> None:
    megabytes = int(SERVICES["worker"]["mem_limit"].removesuffix("m"))
    assert megabytes * MIB >= 2 * LEAST_BYTES


@pytest.mark.parametrize("setting", ["DATABASE_URI", "REDIS_URL"])
def test_what_other_ways_to_run_it_share_has_another_name_in_compose(setting: str) -> None:
    assert SERVICES["api"]["environment"][setting].startswith(f"${{COMPOSE_{setting}:-")


def test_the_server_in_its_container_checks_the_host_as_one_on_loopback_does() -> None:
    assert SERVICES["api"]["environment"]["ALLOWED_HOSTS"] == "${ALLOWED_HOSTS:-localhost}"


def test_a_full_redis_refuses_messages_and_deletes_none() -> None:
    command = SERVICES["redis"]["command"]
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"
    # It forks to rewrite its log, and the copy may take as much again.
    assert 2 * int(command[command.index("--maxmemory") + 1].removesuffix("mb")) <= int(
        SERVICES["redis"]["mem_limit"].removesuffix("m")
    )
