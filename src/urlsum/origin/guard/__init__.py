"""SSRF protection: judges URLs and addresses, and opens sockets to what it has judged."""
