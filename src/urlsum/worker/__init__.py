"""Hashing: the resumable digest, and one task's slice of work."""
