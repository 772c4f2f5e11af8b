"""The proof that all bytes of a download belong to one version of one file."""
