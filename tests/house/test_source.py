"""The repository keeps the house's rules."""

import os
import subprocess
from collections.abc import Callable, Iterable

import pytest

from tests.house import exceptions, rules
from tests.house.tree import ROOT, dotted_name, python_files, read, repository_files, text_files


def broken_places(rule: Callable[[str], list[str]], paths: Iterable[str]) -> list[str]:
    return [f"{path}:{place}" for path in paths for place in rule(read(path))]


def test_no_unfinished_work_is_marked_in_the_text() -> None:
    assert broken_places(rules.unfinished_marks, text_files()) == []


def test_no_file_names_this_machine_or_a_package_registry() -> None:
    assert broken_places(rules.machine_names, text_files()) == []


def test_every_ignore_has_a_code_and_a_reason() -> None:
    assert broken_places(rules.ignores_without_code_or_reason, python_files()) == []


def test_the_core_has_no_floats_and_no_impure_builtins() -> None:
    paths = python_files("ferrite/core/")
    assert paths, "the rule must have something to look at"
    assert broken_places(rules.impure_constructs, paths) == []


def test_drivers_enter_the_core_by_its_front_doors() -> None:
    core_modules = {dotted_name(path) for path in python_files("ferrite/core/")}
    hidden = frozenset(
        core_modules - {name for door in rules.FRONT_DOORS & core_modules for name in offered_by(door)}
    )
    drivers = [path for path in python_files("ferrite/", "scripts/") if not path.startswith("ferrite/core/")]
    assert [
        f"{path}:{place}"
        for path in drivers
        for place in rules.back_doors(read(path), module_of_imports(path), hidden)
    ] == []


def offered_by(door: str) -> list[str]:
    """Dotted names of what a front door lists in `__all__`: a module there (`actions`) is a namespace meant for drivers."""
    return [f"{door}.{name}" for name in rules.exported_names(read(door.replace(".", "/") + "/__init__.py"))]


def module_of_imports(path: str) -> str:
    """The name against which relative imports resolve: a package's own name has one level more."""
    return path.removesuffix(".py").replace("/", ".")


def test_every_file_over_the_limit_has_a_reason_and_every_reason_a_file() -> None:
    paths = [path for path in repository_files() if path.endswith((".py", ".sh", ".proto"))]
    long_files = {path for path in python_files() + paths if line_count(path) > exceptions.FILE_LINES_MAX}
    generated = {path for path in long_files if "_pb2" in path}
    assert long_files - generated == set(exceptions.LONG_FILES)


def test_every_function_over_the_limit_has_a_reason_and_every_reason_a_function() -> None:
    too_long = {
        f"{path}::{name}"
        for path in python_files()
        for name in rules.long_functions(read(path), exceptions.FUNCTION_LINES_MAX)
    }
    assert too_long == set(exceptions.LONG_FUNCTIONS)


def test_every_exception_says_why() -> None:
    reasons = [*exceptions.LONG_FILES.values(), *exceptions.LONG_FUNCTIONS.values()]
    assert [reason for reason in reasons if len(reason.split()) < 4] == []


def test_the_readme_is_short() -> None:
    assert line_count("README.md") <= exceptions.README_LINES_MAX


def line_count(path: str) -> int:
    return len(read(path).splitlines())


def scripts() -> list[str]:
    return [path for path in repository_files() if path.startswith(("scripts/", ".ci/"))]


def test_a_file_with_a_shebang_is_executable_and_no_other() -> None:
    for path in scripts():
        assert os.access(ROOT / path, os.X_OK) == read(path).startswith("#!"), path


def test_every_shell_script_parses_and_stops_at_unset_variables() -> None:
    shell = [path for path in scripts() if read(path).startswith("#!/usr/bin/env bash")]
    assert "scripts/test.sh" in shell
    for path in shell:
        parsed = subprocess.run(["bash", "-n", ROOT / path], check=False, capture_output=True, text=True)
        assert parsed.returncode == 0, parsed.stderr
        assert "\nset -uo pipefail\n" in read(path) or "\nset -euo pipefail\n" in read(path), path


@pytest.mark.parametrize("package", ["ferrite/core", "ferrite/io", "ferrite/sim"])
def test_every_folder_with_modules_is_a_package(package: str) -> None:
    folders = {path.rpartition("/")[0] for path in python_files(package + "/")}
    assert [folder for folder in sorted(folders) if not (ROOT / folder / "__init__.py").is_file()] == []
