"""What ``rq`` reads with ``-c selfhost.rq_config``, which is the image's default: where Redis is, and the queue's name.

It also imports the job once, so that the process that RQ forks for each one need not.
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
