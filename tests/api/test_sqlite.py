"""What a server does when the folder of its SQLite database, or the disk, does not let it write."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from tests.support.backends import only
from tests.support.builders import customer
from tests.support.client import Client, Failure, failure, read_failure
from tests.support.damage import spoil_customers
from tests.support.server_process import Start, run, starting
from twc_customer_server.storage.wal import log_of

MOUNT = shutil.which("mount") or "mount"
CHATTR = shutil.which("chattr") or "chattr"
UMOUNT = shutil.which("umount") or "umount"
SERVING = health_pb2.HealthCheckResponse.SERVING


def fill(client: Client) -> tuple[list[Customer], list[tuple[Customer, Failure]]]:
    """Creates customers until three are refused; returns the stored, and the others with why."""
    created: list[Customer] = []
    refused: list[tuple[Customer, Failure]] = []
    while len(refused) < 3 and len(created) < 100:
        big = customer(tax_exemptions=["x" * 1000] * 20)
        try:
            created.append(client.create(big))
        except grpc.RpcError as error:
            refused.append((big, read_failure(error)))
    return created, refused


@only("sqlite")
def test_full_disk(start: Start) -> None:
    """While nothing more fits on the disk creates are UNAVAILABLE; what was answered is kept."""
    server = start(file_blocks=600)
    client = server.client("acme")
    created, refused = fill(client)
    assert [it.code for _, it in refused] == [grpc.StatusCode.UNAVAILABLE] * 3
    assert [it.reason for _, it in refused] == ["SERVICE_UNAVAILABLE"] * 3
    assert [client.get(it.id) for it in created] == created
    assert server.stop() == 0
    again = start().client("acme")
    assert [again.get(it.id) for it in created] == created
    for big, _ in refused:
        assert again.lookup(pb.LookupCustomersRequest(email=big.email)) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder that is a disk of its own, of 2 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        [MOUNT, "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder],
        check=False,
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        pytest.skip(f"a disk cannot be mounted: {mounted.stderr.strip()}")
    yield folder
    subprocess.run([UMOUNT, "--lazy", folder], check=True)


def test_room_on_disk(small_disk: Path) -> None:
    """A server on a full disk reads, and writes again once there is room."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(500_000))
    with starting({"data_dir": small_disk}) as start:
        server = start()
        client = server.client("acme")
        created, refused = fill(client)
        assert [it.code for _, it in refused] == [grpc.StatusCode.UNAVAILABLE] * 3
        assert [client.get(it.id) for it in created] == created
        ballast.unlink()
        later = client.create(customer())
        assert client.get(later.id) == later
        assert server.stop() == 0
        again = start().client("acme")
        assert [again.get(it.id) for it in [*created, later]] == [*created, later]


@pytest.mark.parametrize(
    ("room", "said"),
    [
        (90_000, "cannot be written (database or disk is full): make room on its disk"),
        (20_000, "cannot be used (disk I/O error): its disk is full, or fails"),
        (0, "cannot be written (database or disk is full): make room on its disk"),
    ],
)
def test_start_on_full_disk(small_disk: Path, room: int, said: str) -> None:
    """A disk without room for the pages of a new database, or for any, is named in a line."""
    (small_disk / "ballast").write_bytes(bytes(2 * 1024 * 1024 - room))
    ended = run({"data_dir": small_disk}, "127.0.0.1:0")
    assert ended.returncode == 1
    assert ended.stderr == f"{small_disk}/customers.db {said}\n"


def test_read_only_disk(small_disk: Path) -> None:
    """A server does not start on a read-only disk, and says so in a line."""
    with starting({"data_dir": small_disk}) as start:
        assert start().stop() == 0
    subprocess.run([MOUNT, "-o", "remount,ro", small_disk], check=True)
    ended = run({"data_dir": small_disk}, "127.0.0.1:0")
    assert ended.returncode == 1
    assert ended.stderr.startswith("DATA_DIR: ")
    assert f" {small_disk}: " in ended.stderr
    assert "must be able to read and write" in ended.stderr
    assert ended.stderr.count("\n") == 1


def is_writable(path: Path) -> bool:
    """Tells whether a file can be opened to write it."""
    try:
        path.open("r+b").close()
    except PermissionError:
        return False
    return True


@pytest.fixture
def immutable(own_database: dict[str, Any]) -> Callable[[str], None]:
    """Makes the files of a database in use immutable (`+i`) or not (`-i`), also for root."""

    def change(option: str) -> None:
        path = own_database["data_dir"] / "customers.db"
        changed = subprocess.run(
            [CHATTR, option, path, log_of(path)], check=False, capture_output=True, text=True
        )
        if changed.returncode:
            pytest.skip(f"files cannot be made immutable: {changed.stderr.strip()}")
        if option == "+i" and is_writable(path):
            # As on a tmpfs, which knows the attribute and does not heed it.
            change("-i")
            pytest.skip("files that are immutable can be written here")

    return change


@only("sqlite")
def test_files_that_become_read_only(start: Start, immutable: Callable[[str], None]) -> None:
    """While files cannot be written creates are UNAVAILABLE and reads go on; then all does."""
    client = start().client("acme")
    created = client.create(customer())
    immutable("+i")
    try:
        refused = [failure(lambda: client.create(customer())) for _ in range(3)]
        kept = [client.get(created.id) for _ in range(50)]
    finally:
        immutable("-i")
    later = client.create(customer())
    assert {(it.code, it.reason) for it in refused} == {
        (grpc.StatusCode.UNAVAILABLE, "SERVICE_UNAVAILABLE")
    }
    assert kept == [created] * 50
    assert client.get(later.id) == later


@only("sqlite")
def test_damaged_database(start: Start, own_database: dict[str, Any]) -> None:
    """Calls that come upon damage are DATA_LOSS, without a delay to try again after."""
    assert start().stop() == 0
    spoil_customers(own_database["data_dir"] / "customers.db")
    server = start()
    client = server.client("acme")
    calls: list[Callable[[], object]] = [
        lambda: client.get("01938f6e-0000-7000-8000-00000000000a"),
        lambda: client.lookup(pb.LookupCustomersRequest(email="ada@example.com")),
        lambda: client.create(customer()),
        lambda: client.upload([customer()]),
    ]
    for refused in map(failure, calls):
        assert (refused.code, refused.reason) == (grpc.StatusCode.DATA_LOSS, "DATABASE_DAMAGED")
        assert refused.retry is None
        assert "must restore it" in refused.message
    assert server.log().count("is damaged (") == 1
    assert server.health.Check(health_pb2.HealthCheckRequest()).status == SERVING
    assert server.stop() == 0


def test_unusable_folder(tmp_path: Path) -> None:
    """A server whose folder cannot be made says so, and ends with status 1."""
    folder = tmp_path / "file"
    folder.touch()
    ended = run({"data_dir": folder}, "127.0.0.1:0")
    assert ended.returncode == 1
    assert str(folder) in ended.stderr
    assert "Traceback" not in ended.stderr
