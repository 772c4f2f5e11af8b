"""GET and DELETE /check."""
