"""The settings of the command: the variables ``URLSUM_*``, and no ``.env``.

A service has its environment to itself. The command runs in other people's folders, with the variables of their
projects: a ``.env`` there must not open loopback, nor a foreign MAX_BYTES stop the command.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from urlsum import settings
from urlsum.cli import console
from urlsum.errors import SettingsError
from urlsum.setting_values import corrections

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from urlsum.settings import Settings

PREFIX = "URLSUM_"
# The settings that reading a file here, or asking a service, depends on.
FIELDS = (
    "allowed_networks",
    "allowed_ports",
    "blocked_hosts",
    "checkpoint_seconds",
    "connect_timeout",
    "connections_per_address",
    "connections_per_origin",
    "contact",
    "max_attempts",
    "max_bytes",
    "max_redirects",
    "min_bytes_per_second",
    "min_rate_seconds",
    "read_timeout",
    "retry_base_seconds",
    "shared_networks",
    "ssl_cert_file",
    "urlsum_api_key",
)
# The names without prefix that belong to no other program's meaning: OpenSSL and others read SSL_CERT_FILE alike.
SHARED = frozenset({"ssl_cert_file"})
# To ignore a wrong value of these would open what the user wanted closed.
CLOSING = frozenset({"blocked_hosts"})
# What the arguments read.
OTHERS = frozenset({"URLSUM_SERVER"})
# No other process waits for the lease of this one. Ten years, because threads cannot wait for infinity.
LEASE_SECONDS = 10 * 365 * 86_400.0


def load(environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings in ``environment``. Raises SettingsError: one line that names the wrong setting.

    The names of a service's settings (``MAX_BYTES``) are still read, with a hint. A wrong value there is ignored:
    it may be meant for another program.
    """
    values: dict[str, object] = {"lease_seconds": LEASE_SECONDS}
    old: list[str] = []
    for name in FIELDS:
        if text := environment.get(variable(name)):
            values[name] = text
        elif (text := environment.get(name.upper())) and _is_usable(name, text):
            values[name] = text
            old += [name] if name not in SHARED else []
    if old:
        _recommend(old)
    _correct(environment)
    return settings.parse(values, variable)


def variable(name: str) -> str:
    """The variable of the field ``name``.

    >>> variable("max_bytes"), variable("urlsum_api_key")
    ('URLSUM_MAX_BYTES', 'URLSUM_API_KEY')
    """
    return name.upper() if name.upper().startswith(PREFIX) else PREFIX + name.upper()


def _is_usable(name: str, text: str) -> bool:
    try:
        settings.parse({name: text, "lease_seconds": LEASE_SECONDS})
    except SettingsError as exc:
        if name in CLOSING:
            raise
        console.tell(f"{exc}; ignored, because it may be meant for another program: the command reads {variable(name)}")
        return False
    return True


def _correct(environment: Mapping[str, str]) -> None:
    known = {*map(variable, FIELDS), *OTHERS}
    unknown = [name for name in environment if name.startswith(PREFIX) and name not in known]
    if unknown:
        for sentence in corrections(unknown, known - environment.keys()):
            console.tell(sentence)


def _recommend(names: Sequence[str]) -> None:
    old, new = (_listed([spell(name) for name in names]) for spell in (str.upper, variable))
    console.tell(f"{old} may be meant for another program; set {new} instead")


def _listed(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
