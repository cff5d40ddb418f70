"""The checkpoint of an import: how far it has come, in a state file beside the imported file."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from twc_customer_client.command_errors import CommandError
from twc_customer_client.files import replace_durably
from twc_customer_client.importing.output_file import Written

_HASHED_BYTES = 64 * 1024


@dataclass
class Counts:
    """Numbers of customers by outcome."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    skipped: int = 0
    valid: int = 0
    rejected: int = 0

    @property
    def total(self) -> int:
        """The number of customers with an outcome."""
        return sum(asdict(self).values())


@dataclass
class Checkpoint:
    """The state of the import that `identity` describes.

    The outcomes of all records up to `last_record` are in `counts`, and in what
    was written to the results file; what was written to the rejects file has
    those that were rejected.
    """

    identity: dict[str, Any]
    last_record: int = 0
    rejects: Written = field(default_factory=Written)
    results: Written = field(default_factory=Written)
    counts: Counts = field(default_factory=Counts)


class StateFile:
    """The file of a checkpoint, which exists while an import runs or can be resumed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self, identity: dict[str, Any]) -> Checkpoint | None:
        """Returns the checkpoint, None without a file. Raises CommandError if it is another's."""
        try:
            stored = json.loads(self.path.read_text("utf-8"))
            checkpoint = Checkpoint(
                stored["of"],
                int(stored["done"]),
                Written(*stored["rejects"]),
                Written(*stored["results"]),
                Counts(**stored["counts"]),
            )
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            raise CommandError(f"{self.path} cannot be read: use --restart to start over") from None
        stored_identity = checkpoint.identity
        if changed := sorted(
            name for name in identity if identity[name] != stored_identity.get(name)
        ):
            raise CommandError(
                f"the interrupted import of this file differs in {', '.join(changed)}: "
                "repeat its command to resume it, or use --restart to start over"
            )
        return checkpoint

    def owns(self, kind: str, path: Path | None) -> bool:
        """Returns whether the import, even one of other options, wrote its file of a kind."""
        try:
            return bool(json.loads(self.path.read_text("utf-8"))["of"][kind] == str(path))
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def save(self, checkpoint: Checkpoint) -> None:
        """Replaces the file durably. Raises CommandError."""
        state = {
            "of": checkpoint.identity,
            "done": checkpoint.last_record,
            "rejects": checkpoint.rejects,
            "results": checkpoint.results,
            "counts": asdict(checkpoint.counts),
        }
        replace_durably(self.path, json.dumps(state))

    def remove(self) -> None:
        """Deletes the file, if it exists."""
        self.path.unlink(missing_ok=True)


def fingerprint(path: Path) -> dict[str, Any]:
    """Returns size, modification time and a hash of the beginning, to detect a changed file."""
    with path.open("rb") as file:
        head = hashlib.sha256(file.read(_HASHED_BYTES)).hexdigest()
        stat = os.fstat(file.fileno())
    return {"size": stat.st_size, "modified": stat.st_mtime_ns, "head": head}
