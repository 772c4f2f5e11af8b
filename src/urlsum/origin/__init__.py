"""Reads one file over HTTP/1.1, as bytes that provably belong to one complete version of it.

Nothing that an origin says is trusted until it is proven by what it does. Each package imports only those below it:

- ``source`` opens a file: its beginning, or the continuation of a checkpoint.
- ``download`` gives its bytes in order, and an end only where one is proven.
- ``parallel`` reads ahead over several connections: range requests, reassembly, the number of connections.
- ``version`` proves that all bytes belong to one version: validators, resumes, the closing proof.
- ``representation`` reads what a response says of the file: name, type, web page.
- ``http11`` speaks HTTP/1.1: client, connection pool, framing, TLS.
- ``guard`` is the SSRF protection, and the only way to a socket.
"""
