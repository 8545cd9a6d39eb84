"""Who may read metrics."""

from __future__ import annotations

import hmac

from django.conf import settings


def admitted(authorization: str) -> bool:
    """Whether whoever sends this `Authorization` header may read metrics."""
    token: str = settings.METRICS_TOKEN
    return not token or hmac.compare_digest(authorization.encode(), f"Bearer {token}".encode())
