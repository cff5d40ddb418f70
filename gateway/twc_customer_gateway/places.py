"""Where the files of Envoy's configuration are: as they are written, and as Envoy sees them."""

from pathlib import Path
from typing import Any, NamedTuple, Self


class Places(NamedTuple):
    """The folder that is written, the same as Envoy names it, and the one of Envoy's sockets."""

    folder: Path
    seen: str
    sockets: str
    # The port of the first Envoy's administration, on the loopback address; that of the next one
    # follows. Without it each has a socket.
    admin_port: int | None = None

    @classmethod
    def on_this_machine(cls, folder: Path) -> Self:
        """Returns the places of Envoys that are started here, with all in one folder.

        A short path is best: that of a socket has at most 107 bytes.
        """
        return cls(folder, str(folder), str(folder))

    def file(self, name: str) -> str:
        """Returns the path of a file as Envoy sees it."""
        return f"{self.seen}/{name}"

    def socket(self, name: str) -> str:
        """Returns the path of a socket as Envoy sees it."""
        return f"{self.sockets}/{name}.sock"

    def source(self, name: str) -> dict[str, Any]:
        """Returns where Envoy finds a resource that it reads anew when it is replaced."""
        return {
            "path_config_source": {"path": self.file(name)},
            "resource_api_version": "V3",
        }

    def replace(self, name: str, content: str, *, is_private: bool = False) -> None:
        """Writes a file at once as a whole, which Envoy notices."""
        written = self.folder / f"{name}.new"
        if is_private:
            written.touch(mode=0o600)
        written.write_text(content)
        written.replace(self.folder / name)
