"""What Prometheus asks: this process and the fleet, the list of workers, one worker."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

import msgspec
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

from monitoring.access import admitted
from monitoring.exposition import fleet_page, worker_page
from monitoring.figures import NOTE, Figures, decode_figures
from realtime.bootstrap import services
from realtime.errors import RegistryUnavailable
from realtime.report import WorkerReport

View = Callable[..., Coroutine[Any, Any, HttpResponse]]
AWAY = "What the workers report cannot be read: the registry does not answer.\n"


def for_prometheus(view: View) -> View:
    """GET only, never cached, with the token when there is one."""

    @never_cache
    @require_safe
    @wraps(view)
    async def guarded(request: HttpRequest, **kwargs: str) -> HttpResponse:
        if not admitted(request.headers.get("Authorization", "")):
            return _text("WEDSYNC_METRICS_TOKEN is set: send it as a bearer token.\n", 401, {"WWW-Authenticate": "Bearer"})
        return await view(request, **kwargs)

    return guarded


def _text(text: str | bytes, status: int = 200, headers: dict[str, str] | None = None) -> HttpResponse:
    kind = CONTENT_TYPE_LATEST if status == 200 else "text/plain; charset=utf-8"
    return HttpResponse(text, status=status, content_type=kind, headers=headers)


@for_prometheus
async def metrics(request: HttpRequest) -> HttpResponse:
    """`/metrics`: HTTP, database and Python of this process, and the merged figures of the fleet while a control loop ticks."""
    return _text(generate_latest(REGISTRY) + fleet_page(await _figures()))


@for_prometheus
async def targets(request: HttpRequest) -> HttpResponse:
    """`/metrics/targets`: all workers, and this process, as Prometheus' HTTP service discovery wants it.

    The address is the one this was asked at: all workers of a fleet are reached through it. Who fell silent stays in the list
    for a minute, so that Prometheus sees that it does not answer. 503 when nobody knows: Prometheus then keeps its list.
    """
    reports, figures = await _reports(), await _figures()
    if reports is None:
        return _text(AWAY, 503)
    hosts = {report.slot: report.host for report in reports}
    slots = [*hosts, *(slot for slot in (figures.missing if figures is not None else ()) if slot not in hosts)]
    # As it is: Prometheus names the server by its number, or by a name inside, and asks there again.
    address = request.headers.get("Host") or f"{request.META['SERVER_NAME']}:{request.META['SERVER_PORT']}"
    found = [_target(address, f"/metrics/workers/{slot}", worker=slot, host=hosts.get(slot, "")) for slot in slots]
    return JsonResponse([*found, _target(address, "/metrics", job="wedsync-web")], safe=False)


def _target(address: str, path: str, **labels: str) -> dict[str, object]:
    return {"targets": [address], "labels": {"__metrics_path__": path} | labels}


@for_prometheus
async def worker(request: HttpRequest, slot: str) -> HttpResponse:
    """`/metrics/workers/<slot>`: what it reported within the last five seconds; else 503, never an old figure."""
    reports = await _reports()
    if reports is None:
        return _text(AWAY, 503)
    # While it is replaced there are two; who began last is going to stay.
    lives = sorted((report for report in reports if report.slot == slot), key=lambda report: report.started_s)
    return _text(worker_page(lives[-1])) if lives else _text(f"No worker {slot} reports.\n", 503)


async def _reports() -> list[WorkerReport] | None:
    try:
        return await services().registry.reports()
    except RegistryUnavailable:
        return None


async def _figures() -> Figures | None:
    """None: no control loop has ticked lately, or the registry is away."""
    try:
        noted = await services().registry.read(NOTE)
        return decode_figures(noted) if noted is not None else None
    except (RegistryUnavailable, msgspec.MsgspecError):
        return None
