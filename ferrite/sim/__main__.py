"""`python -m ferrite.sim` is `ferrite-sim`."""

import sys

from ferrite.sim.cli import main

if __name__ == "__main__":  # worker processes of a sweep import this file under another name
    sys.exit(main())
