"""Mutation testing: inserts small faults into the code, one at a time; the tests should notice each."""
