"""Which settings of an RQ worker differ from the server's, by way of Redis.

A worker elsewhere has an environment of its own. With another LEASE_SECONDS, for example, it works and works, and two
workers share a task; nothing fails that anyone would look into.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rq.utils import as_text

from urlsum.settings import SECRET, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from redis import Redis

# Passwords stay where they are. The rest concerns the server alone, a machine, or another kind of queue and table.
_OWN = SECRET | {
    "allowed_hosts",
    "aws_lambda_function_name",
    "client_bytes_per_day",
    "client_fresh_per_day",
    "client_submits_per_day",
    "client_submits_per_minute",
    "client_unfinished",
    "continuations_queue_url",
    "max_connections",
    "max_connections_per_client",
    "max_unfinished",
    "port",
    "require_api_key",
    "ssl_cert_file",
    "stack_name",
    "sweep_seconds",
    "tasks_queue_url",
    "trusted_proxies",
    "worker_processes",
}
SHARED = [name for name in Settings.__struct_fields__ if name not in _OWN]


def publish(connection: Redis, settings: Settings) -> None:
    """Write down the settings of the server. Raises RedisError."""
    connection.hset(_key(settings), items=[word for pair in _texts(settings).items() for word in pair])


def differences(connection: Redis, settings: Settings) -> str:
    """Each setting that differs from the server's, as people read it; empty if none does. Raises RedisError.

    A setting that the server's version does not know is not compared.
    """
    stored: Mapping[bytes, bytes] = connection.hgetall(_key(settings))  # type: ignore[assignment] # not the async client's
    theirs = {as_text(name): as_text(value) for name, value in stored.items()}
    different = [
        f"{name.upper()} is {ours or 'unset'} here and {theirs[name] or 'unset'} there"
        for name, ours in _texts(settings).items()
        if name in theirs and theirs[name] != ours
    ]
    return ", ".join(different)


def _key(settings: Settings) -> str:
    return f"urlsum:settings:{settings.tasks_queue_name}"


def _texts(settings: Settings) -> dict[str, str]:
    return {name: _text(getattr(settings, name)) for name in SHARED}


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:g}"
    # Lists mean the same in any order.
    return ",".join(sorted(map(str, value))) if isinstance(value, (tuple, frozenset)) else str(value)
