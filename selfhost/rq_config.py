"""Settings for ``rq -c selfhost.rq_config``, the image's default: the URL of Redis and the name of the queue.

It also imports the job function once, so that the process that RQ forks for each job need not.
"""

from __future__ import annotations

import sys

from selfhost import rq_task  # noqa: F401
from urlsum import settings
from urlsum.errors import SettingsError

try:
    _settings = settings.load()
except SettingsError as exc:
    sys.exit(f"urlsum: {exc}")

REDIS_URL = _settings.redis_url
QUEUES = [_settings.tasks_queue_name]
