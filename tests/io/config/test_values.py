from pathlib import Path

import pytest

from tests.io.config.helpers import load, the_problem


@pytest.mark.parametrize(
    "line, expected, advice",
    [
        ('id = "1"', "whole number", "without quotes"),
        ("id = true", "whole number", "true and false are none"),
        ("id = 1.0", "whole number", "digits only"),
        ("id = nan", "whole number", "digits only"),
        ("id = -inf", "whole number", "digits only"),
        ("id = 0", "from 1 to", "in that range"),
        ("id = -1", "from 1 to", "in that range"),
        (f"id = {2**63}", "from 1 to", "in that range"),
        (f"id = {'9' * 100}", "from 1 to", "in that range"),
        (f"id = 0x{'f' * 5000}", "from 1 to", "in that range"),
        ("id = 2026-01-01", "whole number", "one number"),
        ("id = [1]", "whole number", "one number"),
        ("id = {a = 1}", "whole number", "one number"),
        ("name = 5", "letters", "text in quotes"),
        ('name = ""', "letters", "these characters"),
        ('name = "a b"', "letters", "these characters"),
        (f'name = "{"a" * 65}"', "at most|1 to 64", "shorten"),
        ('description = "a\\nb"', "one line", "control characters"),
        ('description = "a\\u0000b"', "one line", "control characters"),
        ('description = "a\\u202eb"', "one line", "control characters"),
        (f'description = "{"a" * 1025}"', "1024", "1025"),
        ('http_addr = "127.0.0.1:0"', "host:port", "1 to 65535"),
        ('http_addr = "127.0.0.1\\u0000:80"', "host:port", "control characters"),
        ("http_addr = 8001", "host:port", "text in quotes"),
        ('data_dir = ""', "directory", "write a path"),
        ('data_dir = "/"', "directory", "belongs to the system"),
        ('data_dir = "//"', "directory", "belongs to the system"),
        ('data_dir = "/tmp/.."', "directory", "belongs to the system"),
        ('data_dir = "../../../../../../../../../../../.."', "directory", "belongs to the system"),
        ('data_dir = "to-root"', "directory", "belongs to the system"),
        ('data_dir = "a\\u0000b"', "directory", "control characters"),
        ('data_dir = "~/data"', "directory", "not expanded"),
        ('data_dir = "a-file"', "directory", "no directory"),
        ('data_dir = "a-file/below"', "directory", "Not a directory"),
        ('data_dir = "loop"', "directory", "symbolic links"),
        (f'data_dir = "{"a" * 300}"', "directory", "too long"),
        (f'data_dir = "{"a/" * 2500}"', "directory", "4096"),
    ],
)
def test_a_bad_value_is_refused_with_what_was_expected_and_what_to_do(
    tmp_path: Path, line: str, expected: str, advice: str
) -> None:
    (tmp_path / "a-file").write_text("")
    (tmp_path / "to-root").symlink_to("/")
    (tmp_path / "loop").symlink_to("loop")
    problem = the_problem(tmp_path, f"[node]\n{line}\n")
    assert problem.key == "node." + line.partition(" ")[0]
    assert any(part in problem.expected for part in expected.split("|"))
    assert advice in problem.advice
    assert len(problem.given) < 120


@pytest.mark.parametrize(
    "line, advice",
    [
        ('level = "INFO"', "lower case"),
        ('level = "warning"', "choose one"),
        ("level = 3", "choose one"),
        ('format = "xml"', "choose one"),
        ("structured = 1", "without quotes"),
        ('structured = "true"', "without quotes"),
        ('file_path = "a-directory"', "is a directory"),
        ('file_path = "a-directory/"', "is a directory"),
        ('file_path = "missing/a.log"', "make the directory"),
        ('file_path = "a\\nb"', "control characters"),
        ("max_files = 1", "in that range"),
    ],
)
def test_a_bad_logging_value_is_refused(tmp_path: Path, line: str, advice: str) -> None:
    (tmp_path / "a-directory").mkdir()
    assert advice in the_problem(tmp_path, f"[logging]\n{line}\n").advice


def test_fifo_compaction_is_refused_with_the_reason(tmp_path: Path) -> None:
    problem = the_problem(tmp_path, '[storage]\ncompaction_strategy = "fifo"')
    assert "deletes the oldest data" in problem.advice
    assert problem.expected == "one of level, universal"


def test_relative_paths_start_at_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    config = load(tmp_path, '[node]\ndata_dir = "./a/../b"\n[logging]\nfile_path = "log/ferrite.log"')
    assert config.node.data_dir == tmp_path / "b"
    assert config.logging.file_path == tmp_path / "log/ferrite.log"


def test_a_directory_that_exists_or_a_link_to_one_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert load(tmp_path, '[node]\ndata_dir = "real"').node.data_dir == tmp_path / "real"
    assert load(tmp_path, '[node]\ndata_dir = "link"').node.data_dir == tmp_path / "link"
