"""Phrases that identify a failure later: a task keeps only its code and its message.

Each has a space, so the URL in a message cannot contain it.
"""

from __future__ import annotations

# One more trusted certificate would make the handshake succeed.
UNKNOWN_ISSUER = "that urlsum does not know"
NOT_YET_VALID = "is not valid yet"
# Every ConnectFailed of a proxy has one of them.
PROXY = "the proxy "
NO_PROXY = "is not an HTTP proxy"
PREPARING = "the server is still preparing the file"
# In these three cases no browser would reach another URL.
NO_LOCATION = "without a Location field"
INVALID_LOCATION = "redirects to an invalid URL"
REDIRECT_LOOP = "a redirect loop"
# Wget and browsers, which keep cookies of earlier visits, may leave such a loop.
BROWSER_SESSION = "the server requires a browser session"
