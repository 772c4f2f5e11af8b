"""Measure on AWS what only an account can tell, in about ten minutes and for a few cents; then delete everything.

    make sam-build ARCHITECTURE=arm64
    .venv/bin/python -m scripts.smoke_aws --mail-from you@example.org --mail-identity example.org

Deploys a stack of its own, lets it hash a file of 1 GiB out of S3 in the same region, with an email, and cancels a
second task. Prints a table for docs/cost.md: the network's rate, the MD5 engine, and of each function the time of its
init phase and the memory that it took.
"""
