"""A PostgreSQL that finds a table or an index damaged: no call is told to try again."""

import grpc
import pytest

from tests.reliability.proxy import Proxy
from tests.support.builders import customer
from tests.support.client import failure
from tests.support.server_process import Start


@pytest.mark.parametrize("sqlstate", ["XX001", "XX002"])
@pytest.mark.parametrize("statement", ["^SELECT .* FROM", "^INSERT"])
def test_damage(start: Start, proxy: Proxy, sqlstate: str, statement: str) -> None:
    """Calls that come upon damage are DATA_LOSS, and the log has it once; others are served."""
    server = start()
    client = server.client("acme")
    stored = client.create(customer())
    for _ in range(2):
        proxy.fail(statement, sqlstate)
        refused = failure(
            lambda: (
                client.get(stored.id)
                if statement.startswith("^SELECT")
                else client.create(customer())
            )
        )
        assert (refused.code, refused.reason) == (grpc.StatusCode.DATA_LOSS, "DATABASE_DAMAGED")
        assert refused.retry is None
    [logged] = [line for line in server.log().splitlines() if '"CRITICAL"' in line]
    assert f"SQLSTATE {sqlstate}" in logged
    assert "restore a backup" in logged
    assert client.get(stored.id) == stored
    assert client.create(customer()).id
