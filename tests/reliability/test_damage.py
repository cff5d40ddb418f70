"""A PostgreSQL that finds a table or an index damaged: no call is told to try again."""

import grpc
import pytest

from tests.reliability.calls import Serve
from tests.reliability.proxy import Proxy
from tests.support.builders import customer
from tests.support.client import failure


@pytest.mark.parametrize("sqlstate", ["XX001", "XX002"])
@pytest.mark.parametrize("statement", ["^SELECT .* FROM", "^INSERT"])
def test_damage(
    serve: Serve,
    proxy: Proxy,
    caplog: pytest.LogCaptureFixture,
    sqlstate: str,
    statement: str,
) -> None:
    """Calls that come upon damage are DATA_LOSS, and the log has it once; others are served."""
    service = serve()
    stored = service.customer
    for _ in range(2):
        proxy.fail(statement, sqlstate)
        refused = failure(
            lambda: (
                service.client.get(stored.id)
                if statement.startswith("^SELECT")
                else service.client.create(customer())
            )
        )
        assert (refused.code, refused.reason) == (grpc.StatusCode.DATA_LOSS, "DATABASE_DAMAGED")
        assert refused.retry is None
    [logged] = [it.getMessage() for it in caplog.records if it.levelname == "CRITICAL"]
    assert f"SQLSTATE {sqlstate}" in logged
    assert "restore a backup" in logged
    assert service.client.get(stored.id) == stored
    assert service.client.create(customer()).id
