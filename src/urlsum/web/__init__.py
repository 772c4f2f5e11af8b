"""The HTTP contract: requests in, answers and problems out. The only room of the package that knows FastAPI."""
