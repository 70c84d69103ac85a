"""Ferrite: a distributed, strongly consistent key-value store.

`ferrite.__version__` is the installed distribution's version. A tree that was never installed has none, and asking raises
`importlib.metadata.PackageNotFoundError`: it does not guess.
"""

__all__ = ["__version__"]

__version__: str


def __getattr__(name: str) -> str:
    """Look the version up when asked: importlib.metadata loads sockets, threads and dice, which `ferrite.core` must not."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version  # noqa: PLC0415 - see the docstring: a plain import of ferrite stays pure

    return version("ferrite")
