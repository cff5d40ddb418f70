"""Who calls, and for which tenant: read from the metadata of a call before anything else."""

import re
from collections.abc import Iterable

from twc_customer_server.auth.tokens import TENANT, Verifier
from twc_customer_server.errors import (
    CREDENTIALS_REQUIRED,
    InvalidTenant,
    NoCredentials,
    TenantForbidden,
    Unauthenticated,
)

is_tenant = re.compile(TENANT, re.ASCII).fullmatch

_SCHEME = "bearer "


class Callers:
    """Admits calls whose bearer token is good for the tenant they name."""

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier

    def tenant(self, metadata: Iterable[tuple[str, str | bytes]]) -> str:
        """Returns the tenant that a call may act for.

        Raises Unauthenticated, or Unavailable if that cannot be found out now;
        then InvalidTenant; then TenantForbidden.
        """
        credentials, names = [], []
        for key, value in metadata:
            if key == "authorization":
                credentials.append(str(value))
            elif key == "x-twc-tenant":
                names.append(str(value))
        tenants = self._verifier.tenants(_token(credentials))
        tenant = _name(names)
        if tenant not in tenants:
            raise TenantForbidden("the token is not for the tenant that X-TWC-Tenant names")
        return tenant


def _token(credentials: list[str]) -> str:
    if not credentials:
        raise NoCredentials(CREDENTIALS_REQUIRED)
    if len(credentials) > 1:
        raise Unauthenticated("the header Authorization must be given once")
    [credential] = credentials
    if credential[: len(_SCHEME)].lower() != _SCHEME:
        raise NoCredentials("the header Authorization must be Bearer and a token")
    return credential[len(_SCHEME) :].strip()


def _name(names: list[str]) -> str:
    if not names:
        raise InvalidTenant("the header X-TWC-Tenant is required: it names the tenant")
    if len(names) > 1 or not is_tenant(names[0]):
        raise InvalidTenant(
            "the header X-TWC-Tenant must be one name of 1 to 64 letters, digits, '.', '_' or '-'"
        )
    return names[0]
