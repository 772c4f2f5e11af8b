"""Reads one file over HTTP/1.1, as bytes that provably belong to one complete version of it.

No claim of an origin counts until its bytes prove it. Each package imports only those below it:

- ``source`` opens a file: at its first byte, or at a checkpoint.
- ``download`` returns its bytes in order, and an end only where one is proven.
- ``parallel`` reads ahead over several connections: range requests, reassembly, the number of connections.
- ``version`` proves that all bytes belong to one version: validators, resumes, the closing proof.
- ``representation`` reads the metadata of a response: file name, media type, web page.
- ``http11`` speaks HTTP/1.1: client, connection pool, framing, TLS.
- ``guard`` is the SSRF protection, and the only way to a socket.
"""
