"""The client library's front door: clients, answers, transactions, errors. See docs/client.md."""

from ferrite.io.client import *  # noqa: F403 - exactly what `ferrite.io.client.__all__` lists
from ferrite.io.client import __all__  # noqa: F401 - and it is this module's as well
