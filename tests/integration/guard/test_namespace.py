"""No URL reaches an address that it must not: the unmodified guard where every address answers.

The vectors run in a child process, in a network namespace of its own, once for the whole module. Needs root.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.guard import vectors

if TYPE_CHECKING:
    from tests.integration.guard.vectors import Vector

ROOT = Path(__file__).parents[3]
VECTORS = vectors.every()
# Addresses that no TCP connection can be made to, with or without a guard.
NOT_UNICAST = {"224.0.0.1", "239.255.255.255", "255.255.255.255", "ff02::1", "ff0e::1", "fe80::1", "febf::1"}
# .ci/run sets it to "required": there the proof must not be skipped.
SWITCH = "URLSUM_TEST_NAMESPACE"


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What happened inside."""
    unshare = ["unshare", "--net", "--mount"]
    try:
        subprocess.run([*unshare, "ip", "link", "set", "lo", "up"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as exc:
        if os.environ.get(SWITCH) == "required":
            raise
        pytest.skip(f"needs root, unshare (util-linux) and ip (iproute2) to make a network namespace: {exc}")
    directory = tmp_path_factory.mktemp("namespace")
    command = [*unshare, sys.executable, "-m", "tests.integration.guard.inside", str(directory)]
    child = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert child.returncode == 0, child.stderr
    printed: dict[str, Any] = json.loads(child.stdout)
    return printed


@pytest.fixture(scope="module")
def results(outcome: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {result["id"]: result for result in outcome["results"]}


def test_without_a_guard_every_address_is_reached(outcome: dict[str, Any]) -> None:
    assert set(vectors.FORBIDDEN) - set(outcome["reachable"]) == NOT_UNICAST


@pytest.mark.parametrize("vector", VECTORS, ids=[vector.id for vector in VECTORS])
def test_nobody_is_reached_who_must_not_be(vector: Vector, results: dict[str, dict[str, Any]]) -> None:
    result = results[vector.id]
    accepted = {(ip_address(address), port) for address, port in result["accepted"]}
    assert accepted <= {(ip_address(address), port) for address, port in vector.reached}
    assert result["outcome"] == vector.expected
    assert result["asked"] >= vector.asked
    if vector.connections < 0:
        assert len(result["accepted"]) > 1
    elif vector.expected == "reached":
        # The closing proof adds its own, to the same addresses.
        assert len(result["accepted"]) >= vector.connections
    else:
        assert len(result["accepted"]) == vector.connections


@pytest.mark.parametrize("why", ["late", "failing"])
def test_nat64_late_ipv6_stays_closed_until_the_prefix_is_known(outcome: dict[str, Any], why: str) -> None:
    seen = outcome[why]
    assert seen["inside"][:2] == ["connect", []]
    assert seen["public"][:2] == ["connect", []]
    result, accepted, _ = seen["both families"]
    assert result == "reached"
    assert {address for address, _ in accepted} == {vectors.PUBLIC_V4}
    if why == "late":
        # The first waits for what it may wait for, the next ones do not.
        assert 1.9 < seen["inside"][2] < 4
        assert seen["public"][2] < 1
        # The answer counts, although nobody waited for it.
        assert seen["inside, known"][:2] == ["blocked", []]
        assert seen["public, known"][0] == "reached"


def test_the_search_list_is_asked_only_where_networks_are_opened(outcome: dict[str, Any]) -> None:
    assert outcome["searched"]
    assert not [name for name in outcome["searched"] if name.startswith("admin")]


def test_there_are_enough_vectors_of_both_kinds() -> None:
    reaching = [vector for vector in VECTORS if vector.expected == "reached"]
    assert len(VECTORS) - len(reaching) >= 150
    assert len(reaching) >= 50
