"""GET /check."""
