"""What holds for every test: property tests have no deadlines, because a slow machine is not a bug."""

import os

from hypothesis import HealthCheck, settings

# A deadline or a "too slow" verdict would be a timed assertion; both are forbidden here.
settings.register_profile(
    "default", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
# In continuous integration the same commit gives the same verdict; new examples are found at desks and in long runs.
settings.register_profile("ci", settings.get_profile("default"), derandomize=True)
# For an evening: FERRITE_HYPOTHESIS_PROFILE=long scripts/test.sh tests/core
settings.register_profile("long", settings.get_profile("default"), max_examples=5_000)

settings.load_profile(
    os.environ.get("FERRITE_HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "default")
)
