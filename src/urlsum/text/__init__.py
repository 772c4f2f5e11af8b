"""Text for people: formatted numbers and URLs, redacted failures, md5sum lines, remarks."""
