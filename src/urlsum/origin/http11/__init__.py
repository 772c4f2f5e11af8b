"""HTTP/1.1 over judged sockets: requests, framing, connection pool, TLS. It deals in responses, not in files."""
