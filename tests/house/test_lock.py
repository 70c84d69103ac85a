"""The locks pin everything by hash, say nothing about where to download, and fit pyproject.toml."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement

from tests.house import rules
from tests.house.tree import read

RUN = "requirements.txt"
DEV = "requirements-dev.txt"


@pytest.mark.parametrize("lock", [RUN, DEV])
def test_a_lock_holds_no_address(lock: str) -> None:
    assert rules.lock_addresses(read(lock)) == []


@pytest.mark.parametrize("lock", [RUN, DEV])
def test_every_locked_package_has_one_version_and_a_hash(lock: str) -> None:
    assert len(rules.lock_pins(read(lock))) > 20
    assert rules.lock_entries_without_hash(read(lock)) == []


def test_both_locks_name_the_same_versions() -> None:
    run, dev = rules.lock_pins(read(RUN)), rules.lock_pins(read(DEV))
    assert {name: dev.get(name) for name in run} == run


@pytest.mark.parametrize(("lock", "extras"), [(RUN, ["build"]), (DEV, ["build", "dev"])])
def test_the_lock_fits_what_the_project_asks_for(lock: str, extras: list[str]) -> None:
    project = tomllib.loads(read("pyproject.toml"))["project"]
    wanted = [
        *project["dependencies"],
        *(line for extra in extras for line in project["optional-dependencies"][extra]),
    ]
    assert unsatisfied(wanted, rules.lock_pins(read(lock))) == []


def unsatisfied(wanted: list[str], pins: dict[str, str]) -> list[str]:
    requirements = [Requirement(line) for line in wanted]
    return [
        str(requirement)
        for requirement in requirements
        if pins.get(normalized(requirement.name)) is None
        or not requirement.specifier.contains(pins[normalized(requirement.name)])
    ]


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_a_missing_or_older_pin_is_found() -> None:
    assert unsatisfied(["a>=2", "B_c>=1", "d"], {"a": "1.9", "b-c": "1.0"}) == ["a>=2", "d"]


def test_every_dependency_says_why_it_is_there() -> None:
    listed = re.findall(r'^    "[a-z][a-z-]+>=[^"]*",(.*)$', read("pyproject.toml"), re.MULTILINE)
    assert len(listed) > 20
    # The companions of grpcio's stubs share one reason.
    assert sum("#" not in comment for comment in listed) <= 2
