"""version and completion."""

from __future__ import annotations

import click

from ferrite import __version__
from ferrite.io.cli.ctl.command import command
from ferrite.io.cli.ctl.output import Forms, refuse_table, show, write_lines
from ferrite.io.cli.ctl.settings import settings_of

_HELP = """The completion script for a shell.

\b
bash:  source <(ferritectl completion bash)      in ~/.bashrc
zsh:   source <(ferritectl completion zsh)       in ~/.zshrc, after compinit
fish:  ferritectl completion fish > ~/.config/fish/completions/ferritectl.fish
"""
COMPLETE_VARIABLE = "_FERRITECTL_COMPLETE"


@command("version", short_help="The version.")
@click.pass_context
def version(context: click.Context) -> None:
    """The version of ferritectl, and whose data model it speaks."""
    settings = settings_of(context)
    refuse_table(settings, "version")
    forms = Forms(
        simple=lambda: [f"ferritectl version: {__version__}", "API version: etcd 3.4's data model"],
        fields=lambda: [("Version", __version__)],
        json=lambda: {"version": __version__},
    )
    show(settings, forms)


@command("completion", help=_HELP, short_help="Completion for bash, zsh or fish.")
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """See _HELP."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None, "click has all three"
    root = context.find_root()
    script = found(root.command, {}, "ferritectl", COMPLETE_VARIABLE)
    # Not `source()`: for bash that runs bash to judge its version, wherever the script was meant to go.
    write_lines([(script.source_template % script.source_vars()).rstrip("\n")])
