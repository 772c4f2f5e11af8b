"""SSRF protection: judges URLs and addresses, and opens sockets to judged addresses only."""
