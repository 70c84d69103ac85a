"""Each rule can fail: a planted example for every one of them, and its good twin."""

import pytest

from tests.house import rules

MODULES = frozenset(
    {"ferrite.core.election", "ferrite.core.disk", "ferrite.core.kv", "ferrite.core.kv.layout"}
)


@pytest.mark.parametrize("mark", ["TO" + "DO", "FIX" + "ME"])
def test_unfinished_work_is_found(mark: str) -> None:
    assert rules.unfinished_marks(f"a = 1\nb = 2  # {mark}: later\n") == [
        f"2: unfinished work marked in the text: b = 2  # {mark}: later"
    ]
    assert rules.unfinished_marks(f"{mark}S and un{mark.lower()} are other words\n") == []


@pytest.mark.parametrize(
    "bad",
    [
        "/wo" + "rk/main/x",
        "see ../sha" + "red/design",
        "https://py" + "pi.org/simple",
        "/ro" + "ot/.pyenv/bin",
    ],
)
def test_a_machine_path_or_a_registry_host_is_found(bad: str) -> None:
    assert len(rules.machine_names(f"first\n{bad}\n")) == 1
    assert rules.machine_names("framework/main.py, /var/lib/ferrite, the root/ folder\n") == []


@pytest.mark.parametrize(
    ("comment", "broken"),
    [
        ("# type: ignore", ["1: ignore without a code"]),
        ("# type: ignore[arg-type]", ["1: ignore without a reason"]),
        ("# type: ignore[arg-type]  # the stub is wrong about None", []),
        ("# noqa", ["1: ignore without a code"]),
        ("# noqa: S101", ["1: ignore without a reason"]),
        ("# noqa: S101, S102 - the invariant is cheap", []),
        ("# an ordinary comment", []),
    ],
)
def test_an_ignore_needs_a_code_and_a_reason(comment: str, broken: list[str]) -> None:
    assert rules.ignores_without_code_or_reason(f"a = 1  {comment}\n") == broken


def test_an_ignore_inside_a_string_is_no_ignore() -> None:
    assert rules.ignores_without_code_or_reason('a = "# noqa"\n') == []


@pytest.mark.parametrize(
    "bad",
    [
        "a = 0.5",
        "a: float = 1",
        "a = float(3)",
        "a = 3 / 2",
        "a /= 2",
        "open('x')",
        "print(1)",
        "a = hash('x')",
        "a = id(b)",
        "def f():\n    global x",
    ],
)
def test_what_the_core_must_not_contain_is_found(bad: str) -> None:
    assert len(rules.impure_constructs(bad + "\n")) >= 1


def test_integer_code_with_similar_names_is_pure() -> None:
    assert rules.impure_constructs("a = 3 // 2\nb = self.id\nc = self.open(a)\nhash_ = sha256(b)\n") == []


@pytest.mark.parametrize(
    "bad",
    [
        "import ferrite.core.election",
        "from ferrite.core.election import vote",
        "from ferrite.core import election",
        "from ferrite.core.kv.layout import key",
        "from ferrite.core.kv import layout",
        "from ..core.election import vote",
        "from ..core import election",
        "def f():\n    from ferrite.core.election import vote",
    ],
)
def test_a_back_door_into_the_core_is_found(bad: str) -> None:
    assert len(rules.back_doors(bad + "\n", "ferrite.io.node", MODULES)) >= 1


@pytest.mark.parametrize(
    "good",
    [
        "import ferrite.core",
        "from ferrite.core import Replica, actions, disk",
        "from ferrite.core.disk import open_log",
        "from ferrite.core.kv import Machine",
        "from ..core.kv import Machine",
        "from .election import local",
    ],
)
def test_the_front_doors_are_open(good: str) -> None:
    assert rules.back_doors(good + "\n", "ferrite.io.node", MODULES) == []


def test_a_long_function_is_found_by_its_qualified_name_and_its_docstring_is_free() -> None:
    body = "\n".join(f"        a{number} = {number}" for number in range(9))
    source = f'class C:\n    async def f(self):\n        """One\n        two.\n        """\n{body}\n'
    assert rules.long_functions(source, 9) == {"C.f": 10}
    assert rules.long_functions(source, 10) == {}


@pytest.mark.parametrize(
    "bad",
    [
        "--index-url https://example.com",
        "-i http://x",
        "--find-links /wheels",
        "a @ git+ssh://x",
        "a @ file:///tmp/a.whl",
        "-r other.txt",
        "-e .",
    ],
)
def test_an_address_in_a_lock_is_found(bad: str) -> None:
    assert (
        len(rules.lock_addresses(f"# a comment: https://fine\nb==1 \\\n    --hash=sha256:00\n{bad}\n")) == 1
    )


def test_a_lock_entry_without_version_or_hash_is_found() -> None:
    good = "# head\nb==1.0 ; sys_platform != 'win32' \\\n    --hash=sha256:00 \\\n    --hash=sha256:11\n"
    assert rules.lock_entries_without_hash(good) == []
    assert rules.lock_entries_without_hash(good + "c==2\nd>=3 \\\n    --hash=sha256:00\n") == [
        "c==2",
        "d>=3 \\",
    ]
    assert rules.lock_pins(good) == {"b": "1.0"}


def test_what_a_module_exports_is_read_from_its_list() -> None:
    assert rules.exported_names('from a import b\n\n__all__ = ["b", "c"]\n') == ["b", "c"]
    assert rules.exported_names("from a import b\n") == []
