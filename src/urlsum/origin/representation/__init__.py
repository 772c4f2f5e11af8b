"""The metadata of a response: the file's name, its media type, and whether a web page came instead."""
