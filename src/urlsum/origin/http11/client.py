"""HTTP client: GET over a pooled or new connection; the guard judges every redirect."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING
from urllib.parse import quote

from urlsum import __version__
from urlsum.errors import BadRedirect, DeadlineReached, OriginBusy, OriginError, TimedOut
from urlsum.origin.http11.access import Direct
from urlsum.origin.http11.connection import connect
from urlsum.origin.http11.origin_limit import NoPlace, OriginLimit
from urlsum.origin.http11.phrases import BROWSER_SESSION, REDIRECT_LOOP
from urlsum.origin.http11.pool import ConnectionPool, retry_on_stale_connection
from urlsum.origin.http11.redirects import REDIRECTS, next_target
from urlsum.text.format import shown_url

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from urlsum.deadline import Deadline
    from urlsum.origin.guard.guard import Guard
    from urlsum.origin.guard.url import Target
    from urlsum.origin.http11.access import Access
    from urlsum.origin.http11.connection import Connection
    from urlsum.origin.http11.cookies import Cookies
    from urlsum.origin.http11.origin_limit import Shares, Turn
    from urlsum.origin.http11.response import ResponseHead
    from urlsum.origin.tuning import Tuning
    from urlsum.settings import Settings

Field = tuple[str, str | bytes]
Fields = tuple[Field, ...]
# The punctuation that may stand in a comment (RFC 9110, 5.6.5).
COMMENT_CHARACTERS = "".join(set(string.punctuation) - set("()\\"))


class Client:
    """Sends GETs over ``pool``, the connection pool of the process. Safe for many threads.

    It sends no credentials and uses no proxy but those of ``access``, which the command alone has; and only the cookies
    that a chain of redirects sets for itself.
    """

    def __init__(
        self,
        settings: Settings,
        guard: Guard,
        tuning: Tuning,
        *,
        clock: Callable[[], float],
        shares: Shares | None = None,
        access: Access | None = None,
    ) -> None:
        self._access = access or Direct()
        self.pool = ConnectionPool(clock, tuning)
        self.tuning = tuning
        self.clock = clock
        self.origin_limit = OriginLimit(
            per_origin=settings.connections_per_origin,
            per_address=settings.connections_per_address or settings.connections_per_origin,
            drop_idle=self.pool.drop,
            drop_stale=self.pool.drop_stale,
            shares=shares,
            clock=clock,
        )
        self._settings = settings
        self._guard = guard
        self._fields: Fields = (
            ("User-Agent", user_agent(settings.contact, settings.public_url)),
            ("Accept", "*/*"),
            # The file's own bytes are hashed; a content coding would change them.
            ("Accept-Encoding", "identity"),
        )

    def get(
        self, url: str, fields: Fields, deadline: Deadline, cookies: Cookies, heartbeat: Callable[[], None]
    ) -> tuple[Connection, ResponseHead]:
        """The first response that is no redirect; requests send ``cookies``, and responses update them.

        All redirects together take at most CONNECT_TIMEOUT + READ_TIMEOUT seconds: no chain of slow origins may hold
        a worker longer than one of them can, nor outlast its lease. ``heartbeat`` is called during a wait for a turn.
        Raises InvalidUrl, OriginError, OriginBusy, DeadlineReached.
        """
        settings = self._settings
        limit = deadline.within(settings.connect_timeout + settings.read_timeout)
        target = self._guard.inspect(url)
        cookie = cookies.fields(target)
        seen = {(target.url, cookie)}
        try:
            while True:
                connection, head = self.send(target, (*fields, *cookie), limit, heartbeat, opening=True)
                try:
                    cookies.extract(head)
                    if head.status not in REDIRECTS:
                        connection.stream.deadline = deadline
                        return connection, head
                    address = None if connection.place is None else connection.place.address
                    target = next_target(head, target, self._guard, address)
                except BaseException:
                    connection.close()
                    raise
                connection.close()
                cookie = cookies.fields(target)
                if (target.url, cookie) in seen:
                    raise BadRedirect(f"{shown_url(url)}: {REDIRECT_LOOP}{_session(cookies)}")
                if len(seen) > settings.max_redirects:
                    repeated = len({url for url, _ in seen}) < len(seen)
                    why = _session(cookies) if repeated else ""
                    raise BadRedirect(f"{shown_url(url)}: more than {settings.max_redirects} redirects{why}")
                seen.add((target.url, cookie))
        except OriginError as exc:
            exc.redirected = exc.redirected or len(seen) > 1
            exc.at = shown_url(target.url) if len(seen) > 1 else ""
            raise
        except DeadlineReached as exc:
            if deadline.ended(limit) or isinstance(exc, OriginBusy):
                raise
            seconds = settings.connect_timeout + settings.read_timeout
            raise TimedOut(f"{target}: no response within {seconds:g} s") from exc

    def send(
        self,
        target: Target,
        fields: Fields,
        deadline: Deadline,
        heartbeat: Callable[[], None],
        *,
        opening: bool = False,
    ) -> tuple[Connection, ResponseHead]:
        """The response to one GET of a judged ``target``, of any status, after a wait for a turn at its origin.

        ``opening``: the request opens a file, so the origin's limits of requests and bytes apply. Raises what
        ``connect`` and ``send_on`` do.
        """
        if deadline.expired:
            raise DeadlineReached

        def send(connection: Connection) -> tuple[Connection, ResponseHead]:
            if opening:
                self._check(connection)
            return connection, self.send_on(connection, target, fields, deadline)

        turn = self.origin_limit.turn(deadline, heartbeat)
        try:
            while True:
                try:
                    return retry_on_stale_connection(
                        self.pool.acquire(target), lambda: self.connect(target, deadline, turn), send
                    )
                except NoPlace as full:
                    turn.wait(full)
        finally:
            turn.end()

    def connect(self, target: Target, deadline: Deadline, turn: Turn | None = None) -> Connection:
        """A new connection to a judged address of ``target``; without ``turn``, a further one of its file.

        Raises OriginError, NoPlace, SettingsError, DeadlineReached.
        """
        place = self.origin_limit.reserve(target, turn)
        try:
            proxy = self._access.proxy(target)
            return connect(target, self._guard, self._settings, deadline=deadline, place=place, proxy=proxy)
        except BaseException:
            place.release()
            raise

    def _check(self, connection: Connection) -> None:
        try:
            if connection.place is not None:
                self.origin_limit.check(connection.place)
        except BaseException:
            self.pool.release(connection)
            raise

    def send_on(self, connection: Connection, target: Target, fields: Fields, deadline: Deadline) -> ResponseHead:
        """The response to one GET on ``connection``, closed on failure. Raises what ``Connection.get`` does."""
        connection.stream.deadline = deadline
        try:
            return connection.get(_joined((*self._fields, *fields), self._access.fields(target)), target)
        except BaseException:
            connection.close()
            raise


def _joined(fields: Fields, further: Sequence[tuple[str, str]]) -> Fields:
    """``fields``, with those in ``further`` instead of their own of the same name."""
    if not further:
        return fields
    names = {name.lower() for name, _ in further}
    return (*(field for field in fields if field[0].lower() not in names), *further)


def _session(cookies: Cookies) -> str:
    return f", although its cookies were sent back: {BROWSER_SESSION}" if cookies else ""


def user_agent(contact: str | None, public_url: str | None = None) -> str:
    """The User-Agent: urlsum, and where to complain (RFC 9110, 10.1.5): CONTACT, else PUBLIC_URL, if one is set."""
    if contact is None and public_url is None:
        return f"urlsum/{__version__}"
    uri = public_url if contact is None else contact if "://" in contact else f"mailto:{contact}"
    return f"urlsum/{__version__} (+{quote(uri or '', safe=COMMENT_CHARACTERS)})"
