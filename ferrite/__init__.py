"""Ferrite: a distributed, strongly consistent key-value store.

`ferrite.Client` and `ferrite.AsyncClient` are its client library (the rest of it: `ferrite.client`); they are loaded when
asked for.
`ferrite.__version__` is the installed distribution's version. A tree that was never installed has none, and asking raises
`importlib.metadata.PackageNotFoundError`: it does not guess.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ferrite.io.client import AsyncClient, Client

__all__ = ["AsyncClient", "Client", "__version__"]

__version__: str


def __getattr__(name: str) -> object:
    """Look things up when asked: they load sockets, threads and dice, which `ferrite.core` must not."""
    if name in ("AsyncClient", "Client"):
        from importlib import import_module  # noqa: PLC0415 - see the docstring: a plain import of ferrite stays pure

        return getattr(import_module("ferrite.io.client"), name)
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version  # noqa: PLC0415 - the same

    return version("ferrite")
