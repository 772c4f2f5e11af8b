"""Parallel range requests: reads a file ahead over several connections, in bounded memory."""
