"""Settings for ``rq -c selfhost.rq_config``, the image's default: the URL of Redis and the name of the queue.

It also imports the job function once, so that the process that RQ forks for each job need not, and refuses to start on
a machine whose clock is wrong.
"""

from __future__ import annotations

import sys
from contextlib import suppress

from selfhost import memory, rq_task  # noqa: F401 - the latter for RQ
from urlsum import settings, wiring
from urlsum.errors import SettingsError, TableUnavailable

try:
    _settings = settings.load()
    memory.check()
    with suppress(TableUnavailable):  # each job looks again
        wiring.check_clock(_settings)
except SettingsError as exc:
    sys.exit(f"urlsum: {exc}")

for _sentence in settings.misspelt():
    sys.stderr.write(f"urlsum: {_sentence}\n")

REDIS_URL = _settings.redis_url
QUEUES = [_settings.tasks_queue_name]
