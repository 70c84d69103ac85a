"""What the exit code of `ferritectl` says to scripts."""

from __future__ import annotations

from enum import IntEnum

import click


class CtlExit(IntEnum):
    """etcdctl's numbers, but that its 4 and 128 (other kinds of wrong input) are 3 here. Stable."""

    OK = 0
    ERROR = 1  # the cluster refused it, or nobody knows whether it happened: the message says which
    CONNECTION = 2  # nobody could carry it out in time; certainly not applied
    INPUT = 3  # the command line or what was read from standard input is wrong; nothing was sent
    UNHEALTHY = 5  # an endpoint is not well, a watch was ended by the server, or the command was interrupted


EXIT_CODES_HELP = """\b
Exit codes: 0 ok, 1 refused or failed, 2 no node could carry it out in time (certainly not applied),
3 wrong input (nothing was sent), 5 unhealthy or interrupted."""


class Failed(click.ClickException):
    """One line for people, and the exit code: one of `CtlExit`, or that of a program we ran."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def failed(message: str, code: int = CtlExit.ERROR) -> Failed:
    """An error to raise."""
    return Failed(message, code)


def wrong_input(message: str) -> Failed:
    """What was typed is wrong."""
    return failed(message, CtlExit.INPUT)
