"""HTTP/1.1 over judged sockets: requests, framing, connection pool, TLS. Knows no files, only responses."""
