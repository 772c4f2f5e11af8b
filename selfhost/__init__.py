"""The processes of urlsum off AWS: server, worker, migrations."""
