"""The errors of grpclib, which betterproto raises as well."""

from typing import Any

from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from grpclib import GRPCError


def described(error: GRPCError) -> dict[str, Any]:
    """Returns what the tests compare of an error.

    grpclib decodes its details if googleapis-common-protos is installed.
    """
    [info] = [it for it in error.details if isinstance(it, ErrorInfo)]
    lists = [it.field_violations for it in error.details if isinstance(it, BadRequest)]
    return {
        "code": error.status.value,
        "reason": info.reason,
        "metadata": dict(info.metadata),
        "fields": [violation.field for violations in lists for violation in violations],
    }
