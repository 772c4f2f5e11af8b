"""The HTTP API: requests → responses, pages and problems. No other package of urlsum imports FastAPI."""
