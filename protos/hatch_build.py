"""Compiles the contract into the wheel: messages, stubs and the types of both."""

import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

import google
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = "twc/customer/v2"


class CompileProtos(BuildHookInterface):
    """Adds the compiled `twc.customer.v2` to the wheel, at its import path."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compiles into a temporary folder and has the wheel take its files from there."""
        self.output = tempfile.TemporaryDirectory()
        compile_protos(Path(self.root), Path(self.output.name))
        # No __init__.py in `twc`: sibling services share it as a namespace.
        package = Path(self.output.name, PACKAGE)
        package.joinpath("__init__.py").touch()
        package.joinpath("py.typed").touch()
        build_data["force_include"][str(package)] = PACKAGE

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Removes the temporary folder."""
        self.output.cleanup()


def compile_protos(sources: Path, output: Path) -> None:
    """Runs protoc on every .proto file of the package; fails the build with its message."""
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{sources}"]
    command += [f"-I{Path(folder).parent}" for folder in google.__path__]
    command += [f"--{kind}_out={output}" for kind in ("python", "pyi", "grpc_python", "mypy_grpc")]
    command += map(str, sorted(sources.glob(f"{PACKAGE}/*.proto")))
    # protoc looks for the plugin of mypy-protobuf on the PATH.
    path = sysconfig.get_path("scripts") + os.pathsep + os.environ.get("PATH", "")
    subprocess.run(command, check=True, env=os.environ | {"PATH": path})  # noqa: S603 - our own command
