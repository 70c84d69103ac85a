from pathlib import Path

import pytest

from tests.io.config.helpers import load, the_problem


@pytest.mark.parametrize(
    "text, levels",
    [
        ("", ()),
        (" , ", ()),
        ("debug", (("ferrite", "debug"),)),
        ("ferrite.core=debug,ferrite.io=info", (("ferrite.core", "debug"), ("ferrite.io", "info"))),
        (" ferrite.io = WARN , aiohttp=error,", (("ferrite.io", "warn"), ("aiohttp", "error"))),
    ],
)
def test_a_filter_gives_levels_by_module(tmp_path: Path, text: str, levels: object) -> None:
    assert load(tmp_path, environment={"FERRITE_LOG": text}).logging.module_levels == levels


@pytest.mark.parametrize(
    "text", ["loud", "ferrite=", "ferrite=loud", "a b=info", "a..b=info", "ferrite=info=info", "=\n"]
)
def test_a_bad_filter_is_refused(tmp_path: Path, text: str) -> None:
    problem = the_problem(tmp_path, environment={"FERRITE_LOG": text})
    assert str(problem.source) == "environment variable FERRITE_LOG"
    assert "module=level" in problem.expected
