"""`python -m ferrite.sim`."""

import sys

from ferrite.sim.cli import main

sys.exit(main(sys.argv[1:]))
