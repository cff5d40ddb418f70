"""Builds the contract's wheel: messages, stubs, their types, and descriptions of both APIs."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

import google
import grpc_tools
import yaml
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

PACKAGE = "twc/customer/v2"

# The compiled contract, with its comments and all that it imports.
DESCRIPTORS = "descriptors.binpb"
# The .proto files of all these, as the one folder that compilers of any language need.
PROTOS = "protos"
# Has buf generate code of other languages from them.
TEMPLATE = "buf.gen.yaml"
# No file imports the details of errors, but clients read them.
ERROR_DETAILS = "google/rpc/error_details.proto"


class CompileContract(BuildHookInterface):
    """Adds `twc.customer.v2` to the wheel: compiled, as .proto files, descriptors and OpenAPI."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compiles into a temporary folder and has the wheel take its files from there."""
        self.output = tempfile.TemporaryDirectory()
        compile_contract(Path(self.root), Path(self.output.name))
        # No __init__.py in `twc`: sibling services share it as a namespace.
        package = Path(self.output.name, PACKAGE)
        package.joinpath("__init__.py").touch()
        package.joinpath("py.typed").touch()
        for source in Path(self.root).glob(f"{PACKAGE}/*.proto"):
            shutil.copy(source, package)
        files = FileDescriptorSet.FromString(package.joinpath(DESCRIPTORS).read_bytes())
        copy_protos([file.name for file in files.file], Path(self.root), package / PROTOS)
        shutil.copy(Path(self.root, TEMPLATE), package)
        write_openapi(files, Path(self.root), package, self.metadata.version)
        build_data["force_include"][str(package)] = PACKAGE

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Removes the temporary folder."""
        self.output.cleanup()


class RequireRuntimes(MetadataHookInterface):
    """Requires the oldest runtimes that the generated code accepts when it is imported."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Reads the versions from the code that this environment's compiler generates."""
        with tempfile.TemporaryDirectory() as output:
            compile_contract(Path(self.root), Path(output))
            package = Path(output, PACKAGE)
            messages = package.joinpath("customer_pb2.py").read_text()
            stubs = package.joinpath("customer_service_pb2_grpc.py").read_text()
        protobuf = _found(r"# Protobuf Python Version: (\S+)", messages)
        grpcio = _found(r"GRPC_GENERATED_VERSION = '(\S+)'", stubs)
        # Protobuf supports generated code on the runtimes of the next major version, too.
        unsupported = int(protobuf.partition(".")[0]) + 2
        metadata["dependencies"] = [
            # The first that admits both protobuf 6 and 7.
            "googleapis-common-protos>=1.73.1,<2",
            f"grpcio>={grpcio},<2",
            f"protobuf>={protobuf},<{unsupported}",
        ]


def compile_contract(sources: Path, output: Path) -> None:
    """Runs protoc on every .proto file of the package; fails the build with its message."""
    command = [sys.executable, "-m", "grpc_tools.protoc"]
    command += [f"-I{folder}" for folder in import_folders(sources)]
    command += [f"--{kind}_out={output}" for kind in ("python", "pyi", "grpc_python", "mypy_grpc")]
    output.joinpath(PACKAGE).mkdir(parents=True, exist_ok=True)
    command += ["--include_imports", "--include_source_info"]
    command.append(f"--descriptor_set_out={output / PACKAGE / DESCRIPTORS}")
    command += [*map(str, sorted(sources.glob(f"{PACKAGE}/*.proto"))), ERROR_DETAILS]
    # protoc looks for the plugin of mypy-protobuf on the PATH.
    path = sysconfig.get_path("scripts") + os.pathsep + os.environ.get("PATH", "")
    subprocess.run(command, check=True, env=os.environ | {"PATH": path})  # noqa: S603 - our own command


def import_folders(sources: Path) -> list[Path]:
    """Returns the folders that imports are found in: our own, Google's, and protobuf's."""
    google_folders = [Path(folder).parent for folder in google.__path__]
    return [sources, *google_folders, Path(grpc_tools.__path__[0], "_proto")]


def copy_protos(names: list[str], sources: Path, output: Path) -> None:
    """Copies .proto files, named as imports name them, from where the compiler finds them."""
    for name in names:
        found = next(it for folder in import_folders(sources) if (it := folder / name).exists())
        output.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(found, output / name)


def write_openapi(files: FileDescriptorSet, sources: Path, package: Path, version: str) -> None:
    """Writes `openapi.json` and `openapi.yaml`, made from the compiled contract."""
    sys.path.insert(0, str(sources))
    from openapi import document  # noqa: PLC0415 - this folder is on no path before

    pool = DescriptorPool()
    for file in files.file:
        pool.Add(file)
    service = pool.FindServiceByName("twc.customer.v2.CustomerService")
    reasons = pool.FindEnumTypeByName("twc.customer.v2.ErrorReason")
    description = document.build(service, reasons, files, version)
    package.joinpath("openapi.json").write_text(json.dumps(description, ensure_ascii=False))
    text = yaml.safe_dump(description, allow_unicode=True, sort_keys=False, width=100)
    package.joinpath("openapi.yaml").write_text(text)


def _found(pattern: str, code: str) -> str:
    found = re.search(pattern, code)
    if found is None:
        raise ValueError(f"the generated code has no line like {pattern!r}")
    return found[1]
