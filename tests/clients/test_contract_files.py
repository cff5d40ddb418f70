"""The files of the contract are all that a client needs, of a service without reflection."""

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from tests.clients.foreign import BIN, BUILD, ROOT, run, skip_unless_installed
from tests.gateway.stacks import http_headers, running
from tools import contract
from twc_customer_gateway.supervisor.stack import Stack

COMPILER = ROOT / "build" / "compiler" / "bin" / "python"
# Unlike `-m grpc_tools.protoc`, which has a folder of imports of its own.
PROTOC = "import sys; from grpc_tools import protoc; sys.exit(protoc.main(sys.argv))"
BUF = Path(sys.executable).with_name("buf")

SERVICE = "twc.customer.v2.CustomerService"
SERVICE_FILE = "twc/customer/v2/customer_service.proto"
DETAILS_FILE = "google/rpc/error_details.proto"
TEMPLATE = yaml.safe_load((ROOT / "protos" / "buf.gen.yaml").read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make contract` writes."""
    folder = tmp_path_factory.mktemp("contract")
    contract.write(folder)
    return folder


@pytest.fixture(scope="module")
def without_reflection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A service as it is in production."""
    with running({"data_dir": tmp_path_factory.mktemp("data")}, reflection=False) as stack:
        yield stack


def _files(descriptors: bytes) -> dict[str, FileDescriptorProto]:
    return {file.name: file for file in FileDescriptorSet.FromString(descriptors).file}


def test_protoc_alone(folder: Path, tmp_path: Path) -> None:
    """The .proto files compile with no other folder of imports, to the descriptor set."""
    compiled = tmp_path / "compiled.binpb"
    names = sorted(str(it.relative_to(folder / "protos")) for it in folder.rglob("*.proto"))
    subprocess.run(
        [COMPILER, "-c", PROTOC, f"-I{folder / 'protos'}", "--include_source_info",
         f"--descriptor_set_out={compiled}", *names],
        check=True,
    )  # fmt: skip

    descriptors = (folder / "descriptors.binpb").read_bytes()
    assert _files(compiled.read_bytes()) == _files(descriptors)


def test_descriptors(folder: Path, service: Stack) -> None:
    """The descriptor set is the contract that the service itself describes, with comments."""
    described = _files((folder / "descriptors.binpb").read_bytes())
    own = [name for name in described if name.startswith("twc/")]
    with grpc.insecure_channel(service.settings.native_address) as channel:
        reflected = ProtoReflectionDescriptorDatabase(channel)
        served = {name: reflected.FindFileByName(name) for name in own}

    assert len(own) == 3
    for name in own:
        assert described[name].source_code_info.location
        described[name].ClearField("source_code_info")
        # Generated code leaves out names that follow from those of the fields.
        _name_in_json(described[name].message_type)
        _name_in_json(served[name].message_type)
        assert described[name] == served[name]


def _name_in_json(messages: Iterable[DescriptorProto]) -> None:
    for message in messages:
        _name_in_json(message.nested_type)
        for field in message.field:
            words = field.name.split("_")
            default = words[0] + "".join(it[:1].upper() + it[1:] for it in words[1:])
            field.json_name = field.json_name or default


# How grpcurl and buf know the contract; grpcurl's words for where to call come last.
GRPCURL = {
    "-protoset": ["-protoset", "descriptors.binpb"],
    "-import-path": ["-import-path", "protos", "-proto", SERVICE_FILE, "-proto", DETAILS_FILE],
}
SCHEMAS = ["descriptors.binpb", "protos"]


@pytest.mark.parametrize("options", GRPCURL.values(), ids=GRPCURL)
def test_grpcurl(folder: Path, options: list[str], without_reflection: Stack, tenant: str) -> None:
    """Grpcurl calls a service without reflection, and reads the details of an error."""
    skip_unless_installed("with_grpcurl")
    command = [str(BIN / "grpcurl"), "-plaintext"]
    address = without_reflection.settings.native_address
    call = [address, f"{SERVICE}/CreateCustomer"]
    for name, value in http_headers(tenant).items():
        command += ["-H", f"{name}: {value}"]
    created = json.loads(
        run([*command, *options, *_given({"email": "ada@example.com"}), *call], folder)
    )

    assert created["email"] == "ada@example.com"
    failed = subprocess.run(
        [*command, "-format-error", *options, *_given({"email": "?"}), *call],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "INVALID_INPUT" in failed.stderr
    unknown = subprocess.run(
        [*command, *_given({}), *call], capture_output=True, text=True, check=False
    )
    assert "reflection" in unknown.stderr


def _given(customer: dict[str, Any]) -> list[str]:
    return ["-d", json.dumps({"customer": customer})]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_buf_curl(folder: Path, schema: str, without_reflection: Stack, tenant: str) -> None:
    """`buf curl` calls a service without reflection."""
    command = [str(BUF), "curl", "--protocol", "grpc", "--http2-prior-knowledge"]
    for name, value in http_headers(tenant).items():
        command += ["-H", f"{name}: {value}"]
    url = f"http://{without_reflection.settings.native_address}/{SERVICE}/CreateCustomer"
    given = _given({"email": "ada@example.com"})

    assert '"ada@example.com"' in run([*command, "--schema", schema, *given, url], folder)


def test_template(folder: Path, tmp_path: Path) -> None:
    """The template has buf generate code; here for TypeScript, whose generator is at hand."""
    skip_unless_installed("connect.js")
    typescript = [it for it in TEMPLATE["plugins"] if it.get("local") == "protoc-gen-es"]
    typescript[0] |= {"local": str(BUILD / "node_modules" / ".bin" / "protoc-gen-es")}
    template = tmp_path / "buf.gen.yaml"
    template.write_text(yaml.safe_dump(TEMPLATE | {"plugins": typescript}))
    details = "google/rpc/error_details"
    paths = ["--path", "protos/twc", "--path", f"protos/{details}.proto"]

    path = f"{BIN}:/usr/bin:/bin"
    run([str(BUF), "generate", "--template", str(template), "--output", str(tmp_path), *paths],
        folder, PATH=path)  # fmt: skip

    generated = tmp_path / "gen" / "typescript"
    assert (
        "export const CustomerService"
        in (generated / "twc" / "customer" / "v2" / "customer_service_pb.ts").read_text()
    )
    assert (generated / f"{details}_pb.ts").exists()
