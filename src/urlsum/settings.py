"""The settings of a service, from its environment; ``urlsum.cli.environment`` reads those of the command."""

from __future__ import annotations

import os
import re
from functools import cache
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args
from urllib.parse import quote

import msgspec
from msgspec import Meta

from urlsum import units
from urlsum.api_keys import ApiKeys
from urlsum.errors import SettingsError
from urlsum.setting_values import HIGHEST_PORT, Hosts, Networks, Origins, Ports, corrections, is_address

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LOCALHOST = "localhost"
DOTENV = Path(".env")
# These settings can hold passwords, so errors do not quote them and repr() does not show them.
SECRET = frozenset({"mail_password", "database_uri", "database_password", "redis_url", "api_keys", "urlsum_api_key"})
# The path to the fault at the end of msgspec's message.
_PLACE = re.compile(r" - at `\$(?:\.(\w+))?`$")
# Spellings of yes and no besides true and false, 1 and 0.
_WORDS = {"yes": True, "on": True, "y": True, "t": True, "no": False, "off": False, "n": False, "f": False}

# In each container of a namespace with a Service named mail: MAIL_PORT=tcp://10.0.0.1:25.
# https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
_SERVICE_LINK = re.compile("(?:tcp|udp|sctp)://")
_SET_PORT = "set it in the container's env, or enableServiceLinks to false"
# An email address, or an http or https URL.
CONTACT = r"^(?:[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*|https?://[A-Za-z0-9!#$%&'*+,./:;=?@_~\[\]-]+)\Z"
MailBackend = Literal["ses", "smtp", "outbox"]
# For these settings msgspec's own reason quotes a pattern, or does not name the choices.
_EXPECTED = {
    "contact": "expected an email address, or an http or https URL",
    "mail_backend": f"expected one of {', '.join(get_args(MailBackend))}",
    "public_url": "expected an http or https URL without query and fragment",
    "urlsum_api_key": "expected letters, digits or any of . _ ~ + / -",
    "tasks_queue_name": "expected 1 to 100 letters, digits or any of _ . : -",
}
# msgspec's type names in plain words.
_TYPES = {
    ", got `str`": "",
    ", got `float`": "",
    "`int | null`": "a whole number",
    "`int`": "a whole number",
    "`float`": "a number",
    "`bool`": "true or false",
    "> 0.0": "> 0",
}
Seconds = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
Port = Annotated[int, Meta(ge=1, le=HIGHEST_PORT)]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All settings; each field is the environment variable of the same name in capitals.

    A ``.env`` file in the working directory sets them too; the environment takes precedence.
    """

    # Tables
    database_uri: str = "sqlite:///data/urlsum.db"
    # Beside the URI, a password needs no percent-encoding. ``parse`` puts it into a URI that names a user alone.
    database_password: str | None = None
    tasks_table: str | None = None
    task_ttl_days: Positive = 30
    # Unset, the secret is a record in the table: who can read that can read every task as well. On AWS template.yaml
    # names a parameter, because operators look into the table there.
    secret_parameter: str | None = None

    # Queues
    tasks_queue_url: str | None = None
    # Continuations have a queue of their own on AWS, so that Lambda bounds their workers apart from those of new tasks.
    continuations_queue_url: str | None = None
    redis_url: str | None = None
    # The RQ queue, named after the service that urlsum replaces, so that its commands work unchanged. No commas and no
    # blanks: RQ separates lists of queues by commas, and its command line by blanks.
    tasks_queue_name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:-]{1,100}\Z")] = "tc-tasks"

    # Mail
    mail_backend: MailBackend = "outbox"
    mail_server: str = "localhost"
    mail_port: Port = 587
    mail_username: str | None = None
    mail_password: str | None = None
    mail_use_tls: bool = True
    mail_from: str = "urlsum@localhost"
    ses_configuration_set: str | None = None
    outbox_dir: Path = Path("outbox")

    # The web
    public_url: Annotated[str, Meta(pattern=r"^https?://[^/?#\s]+(/[^?#\s]*)?\Z")] | None = None
    # Whom the operator of an origin may ask, in the User-Agent; PUBLIC_URL by default. No parenthesis, backslash, blank
    # or line break: it stands in a comment of that field (RFC 9110, 5.6.5). 200 characters keep a request small.
    contact: Annotated[str, Meta(pattern=CONTACT, max_length=200)] | None = None
    port: Port = 5000
    # Where the self-hosted server listens: an address, or localhost, which is loopback's two.
    host: str = LOCALHOST
    # Host names of the service, besides loopback's and that of PUBLIC_URL: against DNS rebinding. None are needed on
    # loopback; a server that is bound to a network checks the names only if some are set.
    allowed_hosts: Hosts = Hosts()
    # Pages of these origins may call the API with a visitor's browser (CORS). Theirs are the rights of that visitor.
    allowed_origins: Origins = Origins()
    # A silent connection takes 7 KB of memory, one with half a head 21 KB. 2,048 are more than a few hundred people
    # open, and fit into the 4,096 open files that old systems allow. One client, like 20 browsers, has a sixteenth.
    max_connections: Positive = 2048
    max_connections_per_client: Count = 128

    # The guard against SSRF. Mirrors use ports 8080 and 8443 besides the two standard ones.
    allowed_networks: Networks = Networks()
    allowed_ports: Ports = Ports({80, 443, 8080, 8443})
    # Hosts, .suffixes and networks that urlsum never contacts: operators must be able to honour a request to stop.
    blocked_hosts: Hosts = Hosts()
    # Networks of a CDN or a cloud's front door. Each of their addresses serves many sites, so there PUBLIC_URL and
    # BLOCKED_HOSTS are judged by name only. Empty is safe.
    shared_networks: Networks = Networks()
    ssl_cert_file: Path | None = None

    # The proxies whose word on the client counts: X-Forwarded-For, or Forwarded. Anybody else can write these fields.
    trusted_proxies: Networks = Networks()

    # Who may read GET /metrics, besides programs on the same machine.
    metrics_networks: Networks = Networks()

    # Limits per client: an IPv4 address, an IPv6 /64 or an API key. 0 switches a limit off. A person who pastes URLs
    # stays below each of them, and so does a list of some hundred files; a loop that never ends does not.
    # One URL a second, for a minute.
    client_submits_per_minute: Count = 60
    # A published data set of a thousand files, in one day.
    client_submits_per_day: Count = 1000
    # What a worker's eight slots take in an hour, if every file takes them five minutes.
    client_unfinished: Count = 100
    # 1 TiB: two of the largest files that people check (BAM files of 500 GB), or 100 Mbit/s all day long.
    client_bytes_per_day: Count = 2**40
    # A reading of one's own is for a file that has changed without a trace: somebody asks for it by hand.
    client_fresh_per_day: Count = 20
    # Over all clients, so that strangers cannot fill the table: as many as 200 clients may have.
    max_unfinished: Count = 20_000
    # Per mailbox: a result every half hour. More is no help to a person, but could be meant as harm.
    recipient_emails_per_day: Count = 50
    api_keys: ApiKeys = ApiKeys()
    require_api_key: bool = False
    # What the command sends to the service that --server names; the characters are those of RFC 6750, 2.1.
    urlsum_api_key: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._~+/-]+=*\Z")] | None = None

    # Downloads. 5 TiB is the largest object that S3 stores.
    max_bytes: Positive = 5 * 2**40
    connections_per_origin: Annotated[int, Meta(ge=1, le=64)] = 8
    # Unset: as many as CONNECTIONS_PER_ORIGIN, because a server cannot tell its names apart. A deployment that reads
    # from many sites behind one address, as some CDNs have it, may raise this one alone.
    connections_per_address: Annotated[int, Meta(ge=1, le=1024)] | None = None
    # A file at the speed of MD5, 0.7 GB/s, needs 90 parts of 8 MiB a second, 5,400 a minute: no single file meets the
    # limit, and ten thousand small ones from one public server take two minutes.
    origin_requests_per_minute: Count = 6000
    # What a line of 1 Gbit/s carries in a day. One file of MAX_BYTES is half of it.
    origin_bytes_per_day: Count = 10 * 2**40
    connect_timeout: Seconds = 10.0
    read_timeout: Seconds = 30.0
    min_bytes_per_second: Count = 1024
    min_rate_seconds: Seconds = 60.0
    max_redirects: Count = 10

    # From the submission to the end, 0 for no limit but TASK_TTL_DAYS. At 9 MB/s the longest file takes a week; a task
    # that needs more holds a worker for the sake of one checksum.
    max_task_hours: Count = 168
    # Slices, leases and retries. A slice ends well before Lambda's own time-out, see template.yaml.
    max_attempts: Positive = 5
    retry_base_seconds: Seconds = 5.0
    slice_seconds: Seconds = 240.0
    # A file of 1 GB takes some 10 s on a fast line, so most files are done before they give way. A new connection and
    # the bytes that are read twice cost a second at most, a tenth of the turn.
    hand_over_seconds: Seconds = 10.0
    checkpoint_seconds: Seconds = 10.0
    lease_seconds: Seconds = 90.0
    # The interval between sweeps of a self-hosted worker; on AWS template.yaml schedules them. An idle sweep is one
    # index look-up, and a task whose worker died waits for two leases anyway.
    sweep_seconds: Seconds = 60.0

    # The dimension of the metrics on AWS. template.yaml sets the stack's name, so that two stacks share no metric.
    stack_name: str = "urlsum"
    # The worker processes of a self-hosted machine; 0: one for each core, because Python's lock keeps a process to one.
    worker_processes: Annotated[int, Meta(ge=0, le=256)] = 0

    # Set by the Lambda runtime, never by people.
    aws_lambda_function_name: str | None = None

    def __post_init__(self) -> None:
        if self.host != LOCALHOST and not is_address(self.host):
            raise ValueError(f"HOST: expected an IP address of this machine, or {LOCALHOST} (it is {self.host!r})")
        if self.require_api_key and not self.api_keys:
            raise ValueError("REQUIRE_API_KEY needs a key in API_KEYS: nobody could submit anything")
        # Only checkpoints renew the lease. If an origin is silent for a whole read time-out just after one, and then
        # needs a new connection, a shorter lease would lapse under a healthy worker.
        silence = self.checkpoint_seconds + self.read_timeout + self.connect_timeout
        if self.lease_seconds <= silence:
            raise ValueError(
                f"LEASE_SECONDS ({self.lease_seconds:g}) must be more than CHECKPOINT_SECONDS + READ_TIMEOUT"
                f" + CONNECT_TIMEOUT ({silence:g})"
            )

    def __repr__(self) -> str:
        shown = (f"{name}={getattr(self, name)!r}" for name in self.__struct_fields__ if name not in SECRET)
        return f"Settings({', '.join(shown)})"

    @property
    def notice(self) -> str | None:
        """What a service says at its start about these settings; None if there is nothing to say."""
        if self.contact or self.public_url:
            return None
        return "CONTACT is not set, so the operators of other servers cannot tell whom to ask about your requests"

    @property
    def on_lambda(self) -> bool:
        """Whether this process runs inside AWS Lambda (or its emulator)."""
        return self.aws_lambda_function_name is not None


_KNOWN = frozenset(name.upper() for name in Settings.__struct_fields__)
# Nix sets it on every machine, and it resembles SSL_CERT_FILE.
_OTHERS = frozenset({"NIX_SSL_CERT_FILE"})
# The settings in bytes, and those in a unit of time of so many seconds: their values may have other units.
SIZES = frozenset(name for name in Settings.__struct_fields__ if "_bytes" in name)
DURATIONS = {name: 1 for name in Settings.__struct_fields__ if name.endswith(("_seconds", "_timeout"))} | {
    "max_task_hours": 3600,
    "task_ttl_days": 86_400,
}
_OF_SECONDS = {1: ("seconds", "90s or 1h"), 3600: ("hours", "36h or 7d"), 86_400: ("days", "30d or 2w")}
_UNITS = dict.fromkeys(SIZES, ("bytes", "5TB or 500MiB")) | {
    name: _OF_SECONDS[seconds] for name, seconds in DURATIONS.items()
}


def on_lambda() -> bool:
    """Whether this process runs inside AWS Lambda; safe at import, because unlike ``load`` it reads no file."""
    return bool(os.environ.get("AWS_LAMBDA_FUNCTION_NAME"))


@cache
def load() -> Settings:
    """The settings of this process. Raises SettingsError: one line that names the wrong setting."""
    variables = _file()
    variables.update({name: value for name, value in os.environ.items() if value})
    bare_values = {name.lower(): _bare(name, value) for name, value in variables.items() if value and name.isupper()}
    values = {name: value for name, value in bare_values.items() if value}
    if _SERVICE_LINK.match(values.get("mail_port", "")):
        if values.get("mail_backend") == "smtp":
            raise SettingsError(
                f"MAIL_PORT: {values['mail_port']!r} is what Kubernetes sets for a Service; {_SET_PORT}"
            )
        del values["mail_port"]
    return parse(values)


def bare(value: str) -> str:
    """``value`` without blanks and quotes at its ends.

    Of a line NAME='value', python-dotenv and compose take the quotes off, and `docker run --env-file` does not.
    """
    value = value.strip()
    while len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        value = value[1:-1].strip()
    return value


def _bare(name: str, value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        # Bytes of another encoding in the environment (PEP 383).
        raise SettingsError(f"{name}: not UTF-8") from None
    return bare(value)


def is_set(name: str) -> bool:
    """Whether the environment or the file mentions the variable ``name``, be it with an empty value."""
    return name in os.environ or name in _file()


def misspelt() -> list[str]:
    """A sentence for each variable that no setting reads but that is spelt nearly like one that is not set."""
    names = {*_file(), *os.environ}
    unset = [name.upper() for name in Settings.__struct_fields__ if name.upper() not in names]
    return corrections(names - _KNOWN - _OTHERS, set(unset) - {"AWS_LAMBDA_FUNCTION_NAME"})


def _file() -> dict[str, str | None]:
    """The variables in DOTENV. A dollar sign is one: `docker run --env-file` does not interpolate either."""
    if not DOTENV.is_file():
        return {}
    from dotenv import dotenv_values  # noqa: PLC0415 - 25 ms, only with such a file

    return dict(dotenv_values(stream=StringIO(read_text(DOTENV)), interpolate=False))


def read_text(dotenv: Path) -> str:
    """The text of a file of settings. Raises SettingsError."""
    try:
        return dotenv.read_bytes().decode()
    except OSError as exc:
        raise SettingsError(f"{dotenv}: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        line = exc.object.count(b"\n", 0, exc.start) + 1
        # Not chained: the error holds the whole file.
        raise SettingsError(f"{dotenv}: line {line} is not UTF-8; save the file in that encoding") from None


def parse(values: Mapping[str, object], variable: Callable[[str], str] = str.upper) -> Settings:
    """The settings in ``values``, by field name, as text or as values; other names are ignored.

    ``variable`` is the name of a field for people. Raises SettingsError.
    """
    fields = {name: _value(name, value) for name, value in values.items()}
    if "database_uri" in fields and "database_password" in fields:
        fields["database_uri"] = _with_password(str(fields["database_uri"]), str(fields["database_password"]))
    try:
        return msgspec.convert(fields, Settings, strict=False, dec_hook=_read)
    except msgspec.ValidationError as exc:
        text = str(exc)
        match = _PLACE.search(text)
        name = match[1] if match else None
        reason = text[: match.start()] if match else text
        if name is None:
            raise SettingsError(reason) from None
        reason = _EXPECTED.get(name, reason)
        for theirs, ours in _TYPES.items():
            reason = reason.replace(theirs, ours)
        if unit := _UNITS.get(name):
            like = f", like {unit[1]}" if reason.endswith("number") else ""
            reason = reason.replace("number", f"number of {unit[0]}{like}", 1) if "range" not in reason else reason
        shown = "" if name in SECRET else f" (it is {values[name]!r})"
        raise SettingsError(f"{variable(name)}: {reason[:1].lower()}{reason[1:]}{shown}") from None


def _with_password(uri: str, password: str) -> str:
    """``uri`` with ``password`` where it names a user and no password; else as it is."""
    scheme, slashes, rest = uri.partition("://")
    user, at, place = rest.partition("@")
    if not at or ":" in user or "/" in user:
        return uri
    return f"{scheme}{slashes}{user}:{quote(password, safe='')}@{place}"


def _value(name: str, value: object) -> object:
    """``value`` without words and units; what has neither stays as it is."""
    if not isinstance(value, str):
        return value
    if name in ("mail_use_tls", "require_api_key"):
        return _WORDS.get(value.lower(), value)
    if name in SIZES:
        count = units.size(value)
        return value if count is None else count
    if name in DURATIONS and (seconds := units.duration(value)) is not None:
        amount = seconds / DURATIONS[name]
        return int(amount) if amount.denominator == 1 else float(amount)
    return value


def _read(kind: type[Any], value: Any) -> Any:  # noqa: ANN401 - msgspec's signature
    """Convert text, or the values themselves, to a type of ``urlsum.setting_values``."""
    return kind.read(value) if isinstance(value, str) and hasattr(kind, "read") else kind(value)
