"""HTTP client: GET over a pooled or new connection; the guard judges every redirect."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING
from urllib.parse import quote

from urlsum import __version__
from urlsum.errors import BadRedirect, DeadlineReached, OriginError, TimedOut
from urlsum.origin.http11.connection import connect
from urlsum.origin.http11.origin_limit import OriginLimit
from urlsum.origin.http11.phrases import BROWSER_SESSION, REDIRECT_LOOP
from urlsum.origin.http11.pool import ConnectionPool, retry_on_stale_connection
from urlsum.origin.http11.redirects import REDIRECTS, next_target
from urlsum.text.format import shown_url

if TYPE_CHECKING:
    from collections.abc import Callable

    from urlsum.deadline import Deadline
    from urlsum.origin.guard.guard import Guard
    from urlsum.origin.guard.url import Target
    from urlsum.origin.http11.connection import Connection
    from urlsum.origin.http11.cookies import Cookies
    from urlsum.origin.http11.response import ResponseHead
    from urlsum.origin.tuning import Tuning
    from urlsum.settings import Settings

Field = tuple[str, str | bytes]
Fields = tuple[Field, ...]


class Client:
    """Sends GETs over ``pool``, the connection pool of the process. Safe for many threads.

    It uses no proxies, no .netrc, no credentials, and only the cookies that a chain of redirects sets for itself.
    """

    def __init__(self, settings: Settings, guard: Guard, tuning: Tuning, *, clock: Callable[[], float]) -> None:
        self.pool = ConnectionPool(clock, tuning)
        self.tuning = tuning
        self.clock = clock
        self.origin_limit = OriginLimit(settings.connections_per_origin)
        self._settings = settings
        self._guard = guard
        self._fields: Fields = (
            ("User-Agent", user_agent(settings.public_url)),
            ("Accept", "*/*"),
            # The file's own bytes are hashed; a content coding would change them.
            ("Accept-Encoding", "identity"),
        )

    def get(self, url: str, fields: Fields, deadline: Deadline, cookies: Cookies) -> tuple[Connection, ResponseHead]:
        """The first response that is no redirect; requests send ``cookies``, and responses update them.

        All redirects together take at most CONNECT_TIMEOUT + READ_TIMEOUT seconds: no chain of slow origins may hold
        a worker longer than one of them can, nor outlast its lease. Raises InvalidUrl, OriginError, DeadlineReached.
        """
        settings = self._settings
        limit = deadline.within(settings.connect_timeout + settings.read_timeout)
        target = self._guard.inspect(url)
        cookie = cookies.fields(target)
        seen = {(target.url, cookie)}
        try:
            while True:
                connection, head = self.send(target, (*fields, *cookie), limit)
                try:
                    cookies.extract(head)
                    if head.status not in REDIRECTS:
                        connection.stream.deadline = deadline
                        return connection, head
                    target = next_target(head, target, self._guard)
                except BaseException:
                    connection.close()
                    raise
                connection.close()
                cookie = cookies.fields(target)
                if (target.url, cookie) in seen:
                    raise BadRedirect(f"{shown_url(url)}: {REDIRECT_LOOP} {target}{_session(cookies)}")
                if len(seen) > settings.max_redirects:
                    repeated = len({url for url, _ in seen}) < len(seen)
                    why = _session(cookies) if repeated else ""
                    raise BadRedirect(f"{shown_url(url)}: more than {settings.max_redirects} redirects{why}")
                seen.add((target.url, cookie))
        except OriginError as exc:
            exc.redirected = exc.redirected or len(seen) > 1
            raise
        except DeadlineReached as exc:
            if deadline.ended(limit):
                raise
            seconds = settings.connect_timeout + settings.read_timeout
            raise TimedOut(f"{target}: no response within {seconds:g} s") from exc

    def send(self, target: Target, fields: Fields, deadline: Deadline) -> tuple[Connection, ResponseHead]:
        """The response to one GET of a judged ``target``, of any status. Raises what ``connect`` and ``send_on`` do."""
        if deadline.expired:
            raise DeadlineReached

        def send(connection: Connection) -> tuple[Connection, ResponseHead]:
            return connection, self.send_on(connection, target, fields, deadline)

        return retry_on_stale_connection(self.pool.acquire(target), lambda: self.connect(target, deadline), send)

    def connect(self, target: Target, deadline: Deadline) -> Connection:
        """A new connection to a judged address of ``target``. Raises OriginError, SettingsError, DeadlineReached."""
        return connect(target, self._guard, self._settings, deadline=deadline)

    def send_on(self, connection: Connection, target: Target, fields: Fields, deadline: Deadline) -> ResponseHead:
        """The response to one GET on ``connection``, closed on failure. Raises what ``Connection.get`` does."""
        connection.stream.deadline = deadline
        try:
            return connection.get((*self._fields, *fields), target)
        except BaseException:
            connection.close()
            raise


def _session(cookies: Cookies) -> str:
    return f", although its cookies were sent back: {BROWSER_SESSION}" if cookies else ""


def user_agent(public_url: str | None) -> str:
    """The User-Agent: urlsum and, if PUBLIC_URL is set, where to complain (RFC 9110, 10.1.5)."""
    if public_url is None:
        return f"urlsum/{__version__}"
    return f"urlsum/{__version__} (+{quote(public_url, safe=string.punctuation)})"
