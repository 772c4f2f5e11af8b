"""``urlsum`` on the command line: the same engine, guard and retry policy as the service, without its stores."""
