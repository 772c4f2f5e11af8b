"""The origin room: what may be contacted, and how one file is read from there.

``guard`` judges URLs and addresses, ``connection`` speaks HTTP/1.1 over one judged socket, and ``http`` reads one
version of one file. Nothing that an origin says is trusted until it is proven by what it does.
"""

from urlsum.errors import DeadlineReached

__all__ = ["DeadlineReached"]
