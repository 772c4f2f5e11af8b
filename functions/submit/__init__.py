"""POST /submit."""
