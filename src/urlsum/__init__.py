"""urlsum: the MD5 of a file on the internet, without downloading it yourself."""

__version__ = "0.1.0"
