"""What the server says at its start."""

from __future__ import annotations

import pytest

from selfhost.server import ignored_by_compose


@pytest.mark.parametrize(
    ("ignores", "replaces", "names"),
    [
        (None, None, []),
        (" ", " ", []),
        ("DATABASE_URI REDIS_URL", " ", ["DATABASE_URI", "REDIS_URL"]),
        ("DATABASE_URI REDIS_URL", " REDIS_URL", ["DATABASE_URI"]),
        (" REDIS_URL", "DATABASE_URI REDIS_URL", []),
    ],
)
def test_what_compose_ignores_is_named_with_what_takes_its_place(
    monkeypatch: pytest.MonkeyPatch, ignores: str | None, replaces: str | None, names: list[str]
) -> None:
    for name, value in (("COMPOSE_IGNORES", ignores), ("COMPOSE_REPLACES", replaces)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert ignored_by_compose() == [
        f"{name} of .env is not used in compose; COMPOSE_{name} takes its place" for name in names
    ]
