"""Names of tenants, in headers, tokens and settings."""

import re

# Excludes `.` and `..`, which would be steps in the path of a realm's URL.
TENANT_PATTERN = r"(?!\.\.?(?![A-Za-z0-9._-]))[A-Za-z0-9._-]{1,64}"

# Stands for the tenant in the settings ISSUER and JWKS.
PLACEHOLDER = "{tenant}"

is_tenant = re.compile(TENANT_PATTERN, re.ASCII).fullmatch
