"""Lays out the contract for tools of other languages: `python -m tools.contract FOLDER`.

The files are those of the contract's wheel, which is installed.
"""

import shutil
import sys
from importlib import resources
from pathlib import Path

FILES = {
    "descriptors.binpb": "descriptor set, with comments: grpcurl -protoset, buf curl --schema",
    "openapi.json": "OpenAPI 3.1 description of the REST routes",
    "openapi.yaml": "the same",
    "protos": ".proto files with all that they import: protoc -I, grpcurl -import-path",
    "buf.gen.yaml": "clients in other languages: `buf generate` in this folder",
}


def write(folder: Path) -> None:
    """Writes the files into a folder, which is emptied first, and prints what each is for."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with resources.as_file(resources.files("twc.customer.v2")) as package:
        for name, use in FILES.items():
            source = package / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
            print(f"{folder / name}: {use}")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
