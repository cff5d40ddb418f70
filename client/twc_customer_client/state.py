"""How far an import has come, in a file beside the one that is imported."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from twc_customer_client.problems import Problem

_HEAD_BYTES = 64 * 1024


@dataclass
class Counts:
    """What became of the customers of an import."""

    created: int = 0
    unchanged: int = 0
    valid: int = 0
    rejected: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.created + self.unchanged + self.valid + self.rejected


@dataclass
class State:
    """All records up to number `done` were answered; the rejects file then had `rejects` bytes."""

    of: dict[str, Any]
    done: int = 0
    rejects: int = 0
    counts: Counts = field(default_factory=Counts)


class StateFile:
    """The file of a state, which is there while an import is under way or broken off."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self, of: dict[str, Any]) -> State | None:
        """The state of the same import. Raises Problem if there is that of another one."""
        try:
            kept = json.loads(self.path.read_text("utf-8"))
            state = State(
                kept["of"], int(kept["done"]), int(kept["rejects"]), Counts(**kept["counts"])
            )
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            raise Problem(f"{self.path} cannot be read; --restart begins anew") from None
        if differing := sorted(name for name in of if of[name] != state.of.get(name)):
            raise Problem(
                f"an import of this file was broken off that differs in: {', '.join(differing)}; "
                "repeat it as it was to go on, or use --restart to begin anew"
            )
        return state

    def has_rejects(self, path: str) -> bool:
        """Tells whether a rejects file is that of the import whose state it is, whichever it is."""
        try:
            return bool(json.loads(self.path.read_text("utf-8"))["of"]["rejects"] == path)
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def save(self, state: State) -> None:
        """Replaces the state on disk. Raises Problem."""
        new = self.path.with_name(self.path.name + ".new")
        try:
            with new.open("w", encoding="utf-8") as file:
                json.dump(asdict(state), file)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self.path)
        except OSError as error:
            raise Problem(f"{self.path} cannot be written: {error.strerror}") from None

    def remove(self) -> None:
        """Forgets the state."""
        self.path.unlink(missing_ok=True)


def fingerprint(path: Path) -> dict[str, Any]:
    """What tells a file from another, or from itself after a change."""
    with path.open("rb") as file:
        head = hashlib.sha256(file.read(_HEAD_BYTES)).hexdigest()
        stat = os.fstat(file.fileno())
    return {"size": stat.st_size, "modified": stat.st_mtime_ns, "head": head}
