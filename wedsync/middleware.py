"""What stands between the server and the pages."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponsePermanentRedirect
from django.middleware.common import CommonMiddleware

ASKED_BY_MACHINES = ("/healthz", "/openz", "/readyz", "/metrics")


class NamedHostMiddleware(CommonMiddleware):
    """Django's, which answers to the names in `ALLOWED_HOSTS` alone; machines ask by whatever address reaches this process.

    A kubelet and Prometheus name the address of the pod, HAProxy's checks name nothing (HTTP/1.0). What they are told leads
    nobody anywhere: no page, no link and no cookie is made of that name."""

    def process_request(self, request: HttpRequest) -> HttpResponsePermanentRedirect | None:
        path = request.path_info
        if path in ASKED_BY_MACHINES or path.startswith("/metrics/"):
            return None
        return super().process_request(request)
