"""Each wheel is complete, and works with the oldest versions of what it requires."""

import email.message
import email.parser
import json
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.support.tokens import token_for, trust
from twc_customer_server.app import App
from twc_customer_server.settings.model import Settings

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "twc_customer_v2": {"twc"},
    "twc_customer_server": {"twc_customer_server", "twc_customer_gateway"},
    "twc_customer_client": {"twc_customer_client"},
}
CONTRACT_FILES = {"customer.proto", "customer_service.proto", "error_reason.proto", "py.typed"}
CONTRACT_FILES |= {"descriptors.binpb", "openapi.json", "openapi.yaml", "buf.gen.yaml"}
CONTRACT_FILES |= {f"protos/twc/customer/v2/{it}" for it in CONTRACT_FILES if "proto" in it}
CONTRACT_FILES |= {
    f"protos/google/{it}.proto"
    for it in ("api/annotations", "api/http", "protobuf/timestamp", "rpc/error_details")
}
CONTRACT_FILES |= {
    f"{name}_pb2{kind}.pyi"
    for name in ("customer", "customer_service", "error_reason")
    for kind in ("", "_grpc")
}

ROUND_TRIP = """
from importlib.resources import files
from twc.customer.v2 import customer_pb2, customer_service_pb2, customer_service_pb2_grpc
from twc.customer.v2 import error_reason_pb2, error_reason_pb2_grpc

customer = customer_pb2.Customer(email="ada@example.com", active=False)
customer.addresses.add(city="Berlin")
customer.attribute_groups["shoe"].attributes["size"].attribute_value = "42"
request = customer_service_pb2.CreateCustomerRequest(customer=customer)
assert customer_service_pb2.CreateCustomerRequest.FromString(request.SerializeToString()) == request
assert error_reason_pb2.ErrorReason.Value("INVALID_INPUT") == 1
assert customer_service_pb2_grpc.CustomerServiceStub
assert "message Customer {" in files("twc.customer.v2").joinpath("customer.proto").read_text()
"""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheels by the name of their distribution."""
    folder = tmp_path_factory.mktemp("wheels")
    contract = [*ROOT.glob("build/contract/twc_customer_v2-*.whl")]
    assert contract, "`make .venv/contract` builds the contract's wheel, which is missing"
    pip("wheel", "--no-build-isolation", "--no-deps", "--wheel-dir", folder, *contract, ROOT,
        ROOT / "client")  # fmt: skip
    return {path.name.partition("-")[0]: path for path in folder.glob("*.whl")}


@pytest.fixture(scope="module")
def contract_environment(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the contract and the oldest versions that it admits."""
    environment = tmp_path_factory.mktemp("contract")
    venv.create(environment, symlinks=True)
    contract = wheels["twc_customer_v2"]
    install(environment, contract, *oldest_of(contract))
    return environment


@pytest.fixture(scope="module")
def client_environment(
    wheels: dict[str, Path], contract_environment: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A virtual environment with contract and client, and the oldest versions that they admit."""
    environment = tmp_path_factory.mktemp("client")
    # Most is there: to install it again would take as long as all the rest.
    shutil.copytree(contract_environment, environment, symlinks=True, dirs_exist_ok=True)
    client = wheels["twc_customer_client"]
    install(environment, client, *oldest_of(wheels["twc_customer_v2"], client))
    return environment


TYPED = """
from collections.abc import Sequence
from typing import assert_type

import grpc
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_service_pb2_grpc import CustomerServiceStub

from twc_customer_client import (
    AsyncCustomerClient, Customer, CustomerClient, CustomerError, ImportResult, TokenFile,
    UploadResult, Versioned,
)
from twc_customer_client.errors import AlreadyExists, InvalidCustomer


def call() -> None:
    with CustomerClient("127.0.0.1:50051", tenant="acme", token=TokenFile("token")) as customers:
        assert_type(customers.create(Customer(email="ada@example.com")), Customer)
        assert_type(customers.get_versioned("1"), Versioned)
        assert_type(customers.merge("1", "2").dropped, pb.Tombstone)
        assert_type(customers.upload([Customer()]), Sequence[UploadResult])
        assert_type([*customers.lookup(first_name="ada")], list[Customer])
        assert_type([*customers.export()], list[Customer])
        assert_type([*customers.export(include_deleted=True)], list[Customer | pb.Tombstone])
        for result in customers.import_customers([Customer()]):
            assert_type(result, ImportResult)
            assert_type(result.error, CustomerError | None)
        try:
            assert_type(customers.modify("1", lambda customer: customer.Clear()), Customer)
        except AlreadyExists as error:
            assert_type(error.clashes["email"], str)
        except InvalidCustomer as error:
            assert_type(error.violations[0].field, str)
            assert_type(error.code, grpc.StatusCode)


async def call_async() -> None:
    async with AsyncCustomerClient("127.0.0.1:50051", tenant="acme", token=str) as customers:
        assert_type(await customers.create(Customer(email="ada@example.com")), Customer)
        async for customer in customers.list():
            assert_type(customer, Customer)
        async with customers.follow(from_now=True) as feed:
            async for change in feed:
                assert_type(change.customer, Customer)
                assert_type(feed.cursor, str)


def call_stubs(channel: grpc.Channel) -> Customer:
    return CustomerServiceStub(channel).CreateCustomer(pb.CreateCustomerRequest())
"""

LIBRARY = """
import asyncio, sys
from twc_customer_client import AsyncCustomerClient, Customer, CustomerClient, errors

address, tenant, token = sys.argv[1:]


async def follow() -> None:
    async with AsyncCustomerClient(address, tenant=tenant, token=token) as customers:
        async with customers.follow() as feed:
            assert (await anext(feed)).customer.email == "ada@example.com"
        async for result in customers.import_customers([Customer(email="b@example.com")]):
            assert result.outcome == "created"
        try:
            await customers.create(Customer(email="ada@example.com"))
        except errors.AlreadyExists as error:
            assert [*error.clashes] == ["email"]


with CustomerClient(address, tenant=tenant, token=token) as customers:
    customers.create(Customer(email="ada@example.com"))
    asyncio.run(follow())
    assert len([*customers.export()]) == 2
"""

# Each is an error, in a line of its own.
MISTAKES = """
from twc_customer_client import Customer, CustomerClient

with CustomerClient("127.0.0.1:50051", tenant="acme", token="x") as customers:
    Customer(emial="ada@example.com")
    customers.create("ada@example.com")
    customers.lookup(name="ada")
    customers.get("1").fullname
    for change in customers.follow():
        change.customers
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """A server for the client."""
    app = App(Settings(data_dir=tmp_path_factory.mktemp("server"), **trust()), ["127.0.0.1:0"])
    app.start()
    yield app
    app.stop()


def pip(*args: object) -> None:
    """Runs pip, quietly but for errors."""
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*command, *map(str, args)], check=True)


def metadata_of(wheel: Path) -> email.message.Message:
    """Returns the metadata of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        [name] = [each for each in archive.namelist() if each.endswith(".dist-info/METADATA")]
        return email.parser.Parser().parsestr(archive.read(name).decode())


def oldest_of(*wheels: Path) -> list[str]:
    """Returns the requirements of wheels, each pinned to the oldest version that all admit."""
    own = {metadata_of(wheel)["Name"] for wheel in wheels}
    oldest: dict[str, tuple[int, ...]] = {}
    for wheel in wheels:
        for text in metadata_of(wheel).get_all("Requires-Dist", []):
            requirement = Requirement(text)
            [minimum] = [it.version for it in requirement.specifier if it.operator == ">="]
            version = tuple(map(int, minimum.split(".")))
            oldest[requirement.name] = max(oldest.get(requirement.name, ()), version)
    return [
        f"{name}=={'.'.join(map(str, version))}"
        for name, version in oldest.items()
        if name not in own
    ]


def install(environment: Path, *requirements: object) -> None:
    """Installs wheels and requirements into a virtual environment."""
    pip("--python", environment / "bin" / "python", "install", "--no-compile", *requirements)


@pytest.mark.parametrize("name", PACKAGES)
def test_content(wheels: dict[str, Path], name: str) -> None:
    """A wheel has its own packages, a description and a version, and no URL."""
    metadata = metadata_of(wheels[name])
    with zipfile.ZipFile(wheels[name]) as archive:
        files = [Path(each) for each in archive.namelist()]

    assert {it.parts[0] for it in files if ".dist-info" not in it.parts[0]} == PACKAGES[name]
    assert metadata["Version"]
    assert metadata["Summary"]
    assert len(metadata.get_payload()) > 500
    assert {"Home-page", "Download-URL", "Project-URL"} & {*metadata} == set()


def test_contract_files(wheels: dict[str, Path]) -> None:
    """The contract's wheel has descriptions, and .proto files beside the code and on their own."""
    with zipfile.ZipFile(wheels["twc_customer_v2"]) as archive:
        files = {each.removeprefix("twc/customer/v2/") for each in archive.namelist()}
    assert files >= CONTRACT_FILES


def test_oldest_runtimes(contract_environment: Path, tmp_path: Path) -> None:
    """The contract works, without a warning, on the oldest runtimes that its wheel admits."""
    python = contract_environment / "bin" / "python"
    subprocess.run([python, "-W", "error", "-c", ROUND_TRIP], cwd=tmp_path, check=True)


def test_types(client_environment: Path, tmp_path: Path) -> None:
    """A project that has only the wheels is checked strictly, and its mistakes are found."""
    (tmp_path / "right.py").write_text(TYPED)
    (tmp_path / "wrong.py").write_text(MISTAKES)
    python = client_environment / "bin" / "python"
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--python-executable", python, "--config-file=",
         "--no-error-summary", "right.py", "wrong.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    errors = [line for line in checked.stdout.splitlines() if ": error:" in line]

    assert checked.stderr == ""
    assert [line.split(":")[:2] for line in errors] == [
        ["wrong.py", str(line)] for line in (5, 6, 7, 8, 10)
    ], checked.stdout


def test_library_alone(client_environment: Path, server: App, tenant: str, tmp_path: Path) -> None:
    """The library works, without a warning, on the oldest versions that it admits."""
    python = client_environment / "bin" / "python"
    caller = (f"127.0.0.1:{server.ports[0]}", tenant, token_for(tenant))
    subprocess.run([python, "-W", "error", "-c", LIBRARY, *caller], cwd=tmp_path, check=True)


def test_client_alone(client_environment: Path, server: App, tenant: str, tmp_path: Path) -> None:
    """The client imports customers where no part of the server is installed."""
    file = tmp_path / "customers.csv"
    file.write_text("email,addresses[0].city\nada@example.com,Berlin\n?,Paris\n")
    environment = {
        "TWC_SERVER": f"127.0.0.1:{server.ports[0]}",
        "TWC_TENANT": tenant,
        "TWC_TOKEN": token_for(tenant),
    }

    def run(command: str, *args: object) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [str(client_environment / "bin" / command), *map(str, args)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    imported = run("twc-customers", "import", file, "--json")
    exported = run("twc-customers", "export")
    imports = [
        run("python", "-c", f"import {package}")
        for package in ("twc_customer_server", "twc_customer_gateway")
    ]

    assert imported.returncode == 3, imported
    counts = json.loads(imported.stdout)
    assert (counts["created"], counts["rejected"]) == (1, 1)
    assert "email: must be" in (tmp_path / "customers.rejects.csv").read_text()
    assert all("ModuleNotFoundError" in each.stderr for each in imports)
    assert json.loads(exported.stdout)["addresses"][0]["city"] == "Berlin"
