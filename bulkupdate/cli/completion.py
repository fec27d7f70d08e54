"""The command `bulkupdate completion`."""

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
def completion_command(shell: str) -> None:
    """Print a script that makes a shell complete commands, flags and files.

    \b
    To use it in every new shell:
      bash   echo 'eval "$(bulkupdate completion bash)"' >> ~/.bashrc
      zsh    echo 'autoload -Uz compinit && compinit' >> ~/.zshrc   # if it is missing
             echo 'eval "$(bulkupdate completion zsh)"' >> ~/.zshrc
      fish   bulkupdate completion fish > ~/.config/fish/completions/bulkupdate.fish
    """  # noqa: D301 - click wants the \b
    from bulkupdate.cli import cli

    found = get_completion_class(shell)
    if found is None:
        raise AssertionError(f"click knows {shell}")
    click.echo(found(cli, {}, "bulkupdate", "_BULKUPDATE_COMPLETE").source())
