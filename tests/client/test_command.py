"""The command itself: its version, its help, and completion in a shell."""

import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from click.testing import CliRunner

from twc_customer_client.cli import cli

COMMAND = Path(sys.executable).with_name("twc-customers")


def complete(words: str) -> list[str]:
    """What bash is offered for the last word."""
    result = CliRunner(
        env={
            "_TWC_CUSTOMERS_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(words.count(" ")),
        }
    ).invoke(cli, prog_name="twc-customers")
    return [line.partition(",")[2] for line in result.output.splitlines()]


def test_version() -> None:
    """The version is that of the package."""
    result = CliRunner().invoke(cli, ["--version"], prog_name="twc-customers")
    assert result.output == f"twc-customers {version('twc-customer-client')}\n"


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_help(name: str) -> None:
    """Every command has help that needs no service, token or tenant."""
    result = CliRunner().invoke(cli, [name, "--help"], prog_name="twc-customers")
    assert result.exit_code == 0
    assert f"Usage: twc-customers {name} " in result.output
    assert f"\n  {name} " in CliRunner().invoke(cli, ["--help"]).output


def test_misplaced_option() -> None:
    """An option of the connection behind the command is told its place."""
    result = CliRunner().invoke(cli, ["get", "1", "--timeout", "3"], prog_name="twc-customers")
    assert result.exit_code == 2
    assert "before the command: twc-customers --timeout … get" in result.stderr


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("twc-customers ", [*sorted(cli.commands)]),
        ("twc-customers er", ["erase"]),
        ("twc-customers --tok", ["--token", "--token-file", "--token-url"]),
        ("twc-customers update --id", ["--id", "--idempotency-key"]),
        ("twc-customers create --set custo", ["customerRef=", "customer_state="]),
        ("twc-customers update --clear tax", ["taxExempt", "taxExemptions"]),
        ("twc-customers import x.csv --on-conflict s", ["skip"]),
    ],
)
def test_completion(words: str, offered: list[str]) -> None:
    """A shell is offered the commands, their options and the values of these."""
    assert sorted(complete(words)) == sorted(offered)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script(shell: str) -> None:
    """The documented lines print a script for each shell, which bash can read here."""
    environment = os.environ | {"_TWC_CUSTOMERS_COMPLETE": f"{shell}_source"}
    script = subprocess.run(
        [COMMAND], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert "_TWC_CUSTOMERS_COMPLETE" in script
    if program := shutil.which(shell):
        subprocess.run([program, "-n"], input=script, text=True, check=True)
