"""urlsum: the MD5 of a file on the internet, without downloading it yourself."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from urlsum.client import Client

__all__ = ["Client", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """``urlsum.Client``, imported at its first use: the service and the command do not need it."""
    if name == "Client":
        return import_module("urlsum.client").Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
