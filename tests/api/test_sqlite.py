"""What a server does when the folder of its SQLite database, or the disk, does not let it write."""

from pathlib import Path

import grpc
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from tests.support.backends import only
from tests.support.builders import customer
from tests.support.client import Client, Failure, read_failure
from tests.support.server_process import Start, run


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


def test_unusable_folder(tmp_path: Path) -> None:
    """A server whose folder cannot be made says so, and ends with status 1."""
    folder = tmp_path / "file"
    folder.touch()
    ended = run({"data_dir": folder}, "127.0.0.1:0")
    assert ended.returncode == 1
    assert str(folder) in ended.stderr
    assert "Traceback" not in ended.stderr
