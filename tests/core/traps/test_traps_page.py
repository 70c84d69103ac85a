"""docs/traps.md names every test here, and no other."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parents[2] / "docs" / "traps.md"
TRAPS = 59


def named_here() -> set[str]:
    found = set()
    for file in HERE.glob("test_*.py"):
        found |= set(re.findall(r"^def (test_trap_\d\d_\w+)", file.read_text(), re.MULTILINE))
    return found


def test_the_page_names_the_tests_that_exist() -> None:
    assert set(re.findall(r"test_trap_\d\d_\w+", PAGE.read_text())) == named_here()


def test_every_trap_has_a_line_with_a_test_or_a_reason() -> None:
    lines = re.findall(r"^\| (\d+) \| (.+?) \| (.+?) \|$", PAGE.read_text(), re.MULTILINE)
    assert [int(number) for number, _, _ in lines] == list(range(1, TRAPS + 1))
    for number, _, reason in lines:
        named = {int(n) for n in re.findall(r"test_trap_(\d\d)", reason)}
        assert named <= {int(number)} and len(reason) > 20
