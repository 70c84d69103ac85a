import os
import stat
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import ferrite
from ferrite.io.cli.server import main
from ferrite.io.config import Config, load_config
from ferrite.io.exit_codes import ExitCode

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`ferrite-server` with some arguments, in an empty directory and an empty home."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("FERRITE_")]:
        monkeypatch.delenv(name)

    def invoke(*arguments: str, **environment: str) -> Result:
        return CliRunner().invoke(main, arguments, env={"HOME": str(home), **environment})

    return invoke


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """What the node was started with, instead of starting it; it ends with the exit code 14."""
    configs: list[Config] = []

    def run_server(config: Config) -> int:
        configs.append(config)
        return ExitCode.FENCED

    module = types.ModuleType("ferrite.io.server")
    module.run_server = run_server  # type: ignore[attr-defined] # a stand-in for the real module
    monkeypatch.setitem(sys.modules, "ferrite.io.server", module)
    return configs


# --------------------------------------------------------------------------------------------------------------- help


def test_help_teaches_with_examples(run: Run) -> None:
    result = run("--help")
    assert result.exit_code == 0
    for part in (
        "--generate-config ferrite.toml",
        "curl -X POST",
        "FERRITE_RAFT__",
        "--set",
        "Exit codes: 0",
    ):
        assert part in result.output


def test_the_version_is_the_distributions(run: Run) -> None:
    assert run("--version").output == f"ferrite-server, version {ferrite.__version__}\n"


def test_help_imports_neither_grpc_nor_aiohttp() -> None:
    code = (
        "import sys; from ferrite.io.cli.server import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: print(sorted({'grpc', 'aiohttp', 'rocksdict', 'structlog'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "arguments, part",
    [
        (["--nonsense"], "No such option"),
        (["stray"], "unexpected extra argument"),
        (["--set", "raft.heartbeat_interval"], "--set wants SECTION.KEY=VALUE"),
        (["--set", "=5"], "--set wants SECTION.KEY=VALUE"),
        (["--force"], "--force goes with --generate-config"),
        (["--validate-config", "--list-config-paths"], "choose one of"),
        (["--generate-config", "a", "--config", "b"], "starts from the defaults"),
        (["--generate-config", "missing/a.toml"], "No such file or directory"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_why(run: Run, arguments: list[str], part: str) -> None:
    result = run(*arguments)
    assert result.exit_code == ExitCode.USAGE
    assert part in result.output


# --------------------------------------------------------------------------------------------------- --generate-config


def test_a_generated_file_is_valid(run: Run) -> None:
    assert run("--generate-config", "new.toml", "--id", "3").exit_code == 0
    result = run("--config", "new.toml", "--validate-config")
    assert result.exit_code == 0
    assert "new.toml: valid\n  node 3 (node-3)" in result.output
    assert "not at their defaults:\n  node.id = 3  (new.toml)\n" in result.output
    assert stat.S_IMODE(Path("new.toml").stat().st_mode) == 0o644


def test_a_file_that_exists_is_replaced_only_by_force(run: Run) -> None:
    Path("old.toml").write_text("precious")
    result = run("--generate-config", "old.toml")
    assert result.exit_code == ExitCode.USAGE
    assert "old.toml exists; --force replaces it" in result.output
    assert Path("old.toml").read_text() == "precious"
    assert run("--generate-config", "old.toml", "--force").exit_code == 0
    assert load_config(Path("old.toml")).node.id == 1
    assert sorted(os.listdir()) == ["home", "old.toml"], "no temporary file is left behind"


def test_a_wrong_value_is_not_generated(run: Run) -> None:
    result = run("--generate-config", "new.toml", "--id", "zero")
    assert result.exit_code == ExitCode.BAD_CONFIGURATION
    assert 'option --id: node.id = "zero"' in result.output
    assert not Path("new.toml").exists()


# --------------------------------------------------------------------------------------------------- --validate-config


def test_validation_reports_every_problem_and_ends_with_3(run: Run) -> None:
    Path("ferrite.toml").write_text("[raft]\nelection_timout_min = 500\n[node]\nid = true\n")
    result = run("--validate-config", "--http-addr", "nowhere", FERRITE_STORAGE__SYNC_WRITES="maybe")
    assert result.exit_code == ExitCode.BAD_CONFIGURATION
    assert result.stdout == ""
    assert result.stderr.startswith("ferrite-server: 4 problems in the configuration\n")
    for part in (
        "ferrite.toml: raft.election_timout_min = 500",
        "did you mean raft.election_timeout_min?",
        "ferrite.toml: node.id = true",
        'option --http-addr: node.http_addr = "nowhere"',
        'environment variable FERRITE_STORAGE__SYNC_WRITES: storage.sync_writes = "maybe"',
    ):
        assert part in result.stderr


def test_validation_says_who_set_what_and_warns(run: Run) -> None:
    Path("ferrite.toml").write_text("[storage]\nsync_writes = false\n")
    result = run("--validate-config", "--set", "raft.max_append_entries=7", FERRITE_NODE__ID="5")
    assert result.exit_code == 0
    assert "node.id = 5  (environment variable FERRITE_NODE__ID)" in result.stdout
    assert "storage.sync_writes = false  (ferrite.toml)" in result.stdout
    assert "raft.max_append_entries = 7  (option --set)" in result.stdout
    assert "warning: storage.sync_writes = false" in result.stderr
    assert sorted(os.listdir()) == ["ferrite.toml", "home"], "nothing was started or made"


def test_validation_without_a_file_checks_the_defaults(run: Run) -> None:
    assert run("--validate-config").output.startswith("defaults: valid\n")


# ------------------------------------------------------------------------------------------------- --list-config-paths


def test_the_listing_says_which_files_exist_and_which_is_used(run: Run) -> None:
    Path("config").mkdir()
    Path("config/ferrite.toml").touch()
    Path("home/.ferrite.toml").touch()
    lines = run("--list-config-paths").output.splitlines()
    assert [line.split()[0] for line in lines[1:3]] == ["missing", "used"]
    assert lines[-1].split() == ["exists", str(Path("home/.ferrite.toml").absolute())]
    assert run("--list-config-paths", "--config", "x.toml").output.splitlines()[-1].split()[0] == "missing"


def test_the_listing_says_when_there_is_none(run: Run) -> None:
    if not Path("/etc/ferrite/config.toml").exists():
        assert "None exists" in run("--list-config-paths").output


# ------------------------------------------------------------------------------------------------------------- running


def test_the_node_runs_with_the_configuration_and_its_exit_code_is_passed_on(
    run: Run, started: list[Config]
) -> None:
    Path("ferrite.toml").write_text("[node]\nid = 4\n[raft]\nheartbeat_interval = 50\n")
    arguments = (
        "--id 5 --http-addr 127.0.0.1:8005 --grpc-addr 127.0.0.1:9005 --data-dir ./five --log-level error "
        "--format compact --set node.name=five"
    )
    assert run(*arguments.split()).exit_code == ExitCode.FENCED
    (config,) = started
    assert (config.node.id, config.node.name, config.node.data_dir) == (5, "five", Path.cwd() / "five")
    assert (str(config.node.http_addr), str(config.node.grpc_addr)) == ("127.0.0.1:8005", "127.0.0.1:9005")
    assert (config.logging.level, config.logging.format) == ("error", "compact")
    assert config.raft.heartbeat_interval == 50


def test_set_wins_over_a_shorthand(run: Run, started: list[Config]) -> None:
    run("--set", "node.id=9", "--id", "5")
    assert started[0].node.id == 9


def test_the_start_banner_names_every_danger(run: Run, started: list[Config]) -> None:
    run(
        "--http-addr", "10.0.0.1:8001", "--set", "security.allow_insecure=true", "--set", "storage.sync_writes=false",
        "--set", "logging.file_path=banner.log", "--format", "compact",
    )  # fmt: skip
    banner = Path("banner.log").read_text()
    assert "starting" in banner
    assert "W ferrite.io.cli.server storage.sync_writes = false" in banner
    assert "HTTP 10.0.0.1:8001 can be reached" in banner


def test_the_start_banner_names_node_and_cluster(run: Run, started: list[Config]) -> None:
    run(
        "--set", "node.name=anna", "--set", "cluster.name=prod", "--set", "logging.file_path=banner.log",
        "--format", "compact",
    )  # fmt: skip
    (line,) = Path("banner.log").read_text().splitlines()
    assert " name=anna cluster=prod " in line


def test_a_bad_configuration_starts_nothing(run: Run, started: list[Config]) -> None:
    assert run("--id", "0").exit_code == ExitCode.BAD_CONFIGURATION
    assert run("--config", "missing.toml").exit_code == ExitCode.BAD_CONFIGURATION
    assert not started


def test_a_log_file_that_cannot_be_opened_starts_nothing(run: Run, started: list[Config]) -> None:
    Path("f.log").symlink_to("missing/f.log")
    result = run("--set", "logging.file_path=f.log")
    assert result.exit_code == ExitCode.BAD_CONFIGURATION
    assert "f.log cannot be opened: No such file or directory" in result.stderr
    assert not started


def test_an_unexpected_error_is_logged_and_ends_with_1(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("ferrite.io.server")
    monkeypatch.setitem(sys.modules, "ferrite.io.server", module)  # without run_server
    assert run("--set", "logging.file_path=f.log").exit_code == ExitCode.CRASH
    assert "ImportError" in Path("f.log").read_text()


def test_exit_codes_are_the_documented_ones() -> None:
    assert {code.name: code.value for code in ExitCode} == {
        "OK": 0, "CRASH": 1, "USAGE": 2, "BAD_CONFIGURATION": 3, "ADDRESS_IN_USE": 4, "DISK_FULL": 10, "DISK_ERROR": 11,
        "CORRUPTION": 12, "WRONG_IDENTITY": 13, "FENCED": 14, "INVARIANT": 70,
    }  # fmt: skip


def test_a_generated_file_goes_to_standard_output_for_a_dash(run: Run) -> None:
    result = run("--generate-config", "-", "--id", "3")
    assert result.exit_code == 0
    assert "\nid = 3" in result.output
    assert not Path("-").exists()
