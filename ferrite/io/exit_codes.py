"""What the exit code of `ferrite-server` says to systemd, Kubernetes and operators."""

from enum import IntEnum


class ExitCode(IntEnum):
    """One number per kind of end. Stable: deployments decide on them whether a restart makes sense."""

    OK = 0  # asked to stop, and stopped in order
    CRASH = 1  # an error nobody expected: a bug of ours (also what Python itself exits with)
    USAGE = 2  # the command line was wrong; nothing was started
    BAD_CONFIGURATION = 3  # the configuration was refused; nothing was started
    ADDRESS_IN_USE = 4  # another process listens on the address
    DISK_FULL = 10  # no space left; restart after space was freed
    DISK_ERROR = 11  # a write or fsync failed: nothing was acknowledged after it
    CORRUPTION = 12  # data on disk is not what was written; an operator must look
    WRONG_IDENTITY = 13  # data of another node or cluster, or an id that belongs to someone else
    FENCED = 14  # the state differs from the other members'; the node must not serve
    INVARIANT = (
        70  # a state that must not exist (sysexits' EX_SOFTWARE): a bug of ours, stopped before it spreads
    )
