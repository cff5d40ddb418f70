"""Files of commands: what is said of one that cannot be used, and how one is replaced."""

import os
from pathlib import Path

from twc_customer_client.command_errors import CommandError


def unreadable(
    path: Path | str, error: OSError | UnicodeDecodeError, next_step: str = ""
) -> CommandError:
    """Returns the error of a command that cannot read a file."""
    reason = (error.strerror if isinstance(error, OSError) else "") or "it is not text"
    return CommandError(
        f"{path} cannot be read: {reason}", next_step or "name a file that you may read"
    )


def unwritable(path: Path | str, error: OSError) -> CommandError:
    """Returns the error of a command that cannot write a file."""
    return CommandError(
        f"{path} cannot be written: {error.strerror}",
        "see to the folder, its permissions and its free space, or name another file",
    )


def replace_durably(path: Path, text: str) -> None:
    """Replaces the content of a file, so that it has either even if power fails.

    Raises CommandError.
    """
    new = path.with_name(path.name + ".new")
    try:
        with new.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError as error:
        raise unwritable(path, error) from None
