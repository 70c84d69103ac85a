"""`ferrite-server`: one node, and what prepares its configuration."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import click

from ferrite import __version__
from ferrite.io.config import Config, ConfigError, Override, find_file, load_config, render_file, search_paths
from ferrite.io.exit_codes import ExitCode

_HELP = """Run one node of a Ferrite cluster: a distributed, strongly consistent key-value store.

\b
Try it on this machine:
  ferrite-server --generate-config ferrite.toml   write a commented file with every key
  ferrite-server --validate-config                check it, without starting anything
  ferrite-server                                  run; ./ferrite.toml is found by itself
  curl -X POST http://127.0.0.1:8001/init         once: make it a cluster of one node

\b
A second node beside it, without a file:
  ferrite-server --id 2 --http-addr 127.0.0.1:8002 --grpc-addr 127.0.0.1:9002 --data-dir ./data/node2

\b
Every key of the configuration can be given in four ways; the first that is there wins:
  --set raft.heartbeat_interval=50                an option
  FERRITE_RAFT__HEARTBEAT_INTERVAL=50             an environment variable
  heartbeat_interval = 50   below [raft]          the file
  100                                             the default
FERRITE_LOG=ferrite.core=debug,ferrite.io=info sets log levels by module.

\b
Exit codes: 0 stopped in order, 2 wrong usage, 3 bad configuration, 4 address in use,
10 disk full, 11 disk error, 12 corrupt data, 13 wrong cluster or identity, 14 fenced,
70 an invariant of Ferrite was violated (please report it).
"""
_F = TypeVar("_F", bound=Callable[..., object])
# Options that are short for a key: parameter name -> option and key. All pass as text, so that one place judges values.
_SHORTHANDS = {
    "id_": ("--id", "node.id", "N", "Number of this node."),
    "http_addr": ("--http-addr", "node.http_addr", "HOST:PORT", "Address for HTTP."),
    "grpc_addr": ("--grpc-addr", "node.grpc_addr", "HOST:PORT", "Address for gRPC."),
    "data_dir": ("--data-dir", "node.data_dir", "DIR", "Directory of the node's data."),
    "log_level": ("--log-level", "logging.level", "LEVEL", "trace, debug, info, warn or error."),
    "format_": ("--format", "logging.format", "FORMAT", "Log format: json, pretty or compact."),
}


def _shorthand_options(command: _F) -> _F:
    for parameter, (option, _, metavar, text) in reversed(_SHORTHANDS.items()):
        command = click.option(option, parameter, metavar=metavar, help=text)(command)
    return command


@click.command(help=_HELP, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--config", "config_file", metavar="FILE", help="Configuration file, instead of the first one found."
)
@click.option(
    "--generate-config",
    metavar="FILE",
    help="Write a commented configuration file (- for standard output) and exit.",
)
@click.option("--force", is_flag=True, help="Let --generate-config replace a file.")
@click.option(
    "--validate-config", is_flag=True, help="Check the configuration, tell what it amounts to, and exit."
)
@click.option(
    "--list-config-paths", is_flag=True, help="Tell where configuration files are looked for, and exit."
)
@_shorthand_options
@click.option(
    "--set", "settings", metavar="SECTION.KEY=VALUE", multiple=True, help="Set any key; may be repeated."
)
@click.version_option(__version__, prog_name="ferrite-server")
def main(
    *, config_file: str | None, generate_config: str | None, force: bool, validate_config: bool,
    list_config_paths: bool, settings: Sequence[str], **shorthands: str | None,
) -> None:  # fmt: skip
    """Decide what was asked for, and do it."""
    if sum((generate_config is not None, validate_config, list_config_paths)) > 1:
        raise click.UsageError("choose one of --generate-config, --validate-config and --list-config-paths")
    if force and generate_config is None:
        raise click.UsageError("--force goes with --generate-config")
    if config_file is not None and generate_config is not None:
        raise click.UsageError(
            "--generate-config starts from the defaults; give single keys with --set, not --config"
        )
    overrides = _overrides(shorthands, settings)
    path = Path(config_file) if config_file is not None else find_file(_home(), Path.cwd())
    if list_config_paths:
        _list_paths(None if config_file is None else path, path)
        return
    try:
        if generate_config is not None:
            _generate(generate_config, overrides, force=force)
            return
        config = load_config(path, environment=os.environ, overrides=overrides)
    except ConfigError as error:
        click.echo(f"ferrite-server: {error}", err=True)
        sys.exit(ExitCode.BAD_CONFIGURATION)
    if validate_config:
        _tell(path, config)
    else:
        sys.exit(_run(path, config))


def _overrides(shorthands: dict[str, str | None], settings: Sequence[str]) -> list[Override]:
    """Shorthands come first: where both name a key, --set is the more explicit one and wins."""
    found = [
        Override(key=key, text=text, option=option)
        for parameter, (option, key, _, _) in _SHORTHANDS.items()
        if (text := shorthands[parameter]) is not None
    ]
    for setting in settings:
        key, separator, text = setting.partition("=")
        if not separator or not key.strip():
            raise click.UsageError(
                f"--set wants SECTION.KEY=VALUE, such as raft.heartbeat_interval=50, not {setting!r}"
            )
        found.append(Override(key=key.strip(), text=text.strip(), option="--set"))
    return found


def _home() -> Path | None:
    try:
        return Path.home()
    except RuntimeError:  # neither HOME nor an entry in the password file: a container's user
        return None


def _list_paths(named: Path | None, used: Path | None) -> None:
    click.echo("Configuration files, the first that exists is used:")
    paths = (*search_paths(_home()), *(() if named is None else (named,)))
    for path in paths:
        state = "used" if path == used else "exists" if os.path.lexists(path) else "missing"
        if path == named:
            state = "used (--config)" if os.path.lexists(path) else "missing (--config)"
        click.echo(f"  {state:<8} {path}")
    if used is None:
        click.echo("None exists: defaults, environment and options make the configuration.")


def _generate(name: str, overrides: list[Override], *, force: bool) -> None:
    """Write the file whole or not at all; `-` is standard output."""
    target = Path(name)
    text = render_file(overrides)
    if name == "-":
        click.echo(text, nl=False)
        return
    try:
        if not force and os.path.lexists(target):
            raise click.UsageError(f"{name} exists; --force replaces it")
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".ferrite-config-", text=True)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            os.chmod(temporary, 0o644)  # no secrets in it; mkstemp makes 0600
            if force:
                os.replace(temporary, target)
            else:
                os.link(temporary, target)  # unlike a rename it refuses a file that came up meanwhile
        finally:
            with contextlib.suppress(FileNotFoundError):  # renamed already
                os.unlink(temporary)
    except OSError as error:
        raise click.UsageError(f"{name} cannot be written: {error.strerror}") from None
    click.echo(f"{name} written. Check it with: ferrite-server --config {name} --validate-config")


def _tell(path: Path | None, config: Config) -> None:
    """What --validate-config prints when all is well."""
    click.echo(f"{path or 'defaults'}: valid")
    for line in _summary(config):
        click.echo(f"  {line}")
    if config.changed:
        click.echo("not at their defaults:")
    for key, value in config.changed.items():
        click.echo(f"  {key} = {value}  ({config.sources[key]})")
    for warning in config.warnings():
        click.echo(f"warning: {warning}", err=True)


def _summary(config: Config) -> list[str]:
    node, peers = config.node, config.cluster.peers
    voters = ", ".join(str(peer.id) for peer in peers if peer.voting)
    learners = ", ".join(str(peer.id) for peer in peers if not peer.voting)
    return [
        f"node {node.id} ({node.name}) of cluster {config.cluster.name}",
        f"HTTP {node.http_addr}, gRPC {node.grpc_addr}, data in {node.data_dir}",
        f"voters {voters or 'none listed'}" + (f", learners {learners}" if learners else ""),
    ]


def _run(path: Path | None, config: Config) -> int:
    """The start banner, then the node until it stops. Logs are ours from here to the end."""
    from ferrite.io import logs

    try:
        handle = logs.configure(config.logging)
    except OSError as error:
        click.echo(
            f"ferrite-server: the log file {config.logging.file_path} cannot be opened: {error.strerror}",
            err=True,
        )
        return ExitCode.BAD_CONFIGURATION
    with handle:
        log = logs.get_logger("ferrite.io.cli.server")
        log.info("starting", version=__version__, config=str(path or "defaults"), node_id=config.node.id,
                 name=config.node.name, cluster=config.cluster.name,
                 http_addr=str(config.node.http_addr), grpc_addr=str(config.node.grpc_addr),
                 data_dir=str(config.node.data_dir), pid=os.getpid())  # fmt: skip
        for warning in config.warnings():
            log.warning(warning)
        try:
            from ferrite.io.server import run_server

            return run_server(config)
        except Exception:
            log.exception("the node stopped on an error that nobody expected; this is a bug in Ferrite")
            return ExitCode.CRASH
