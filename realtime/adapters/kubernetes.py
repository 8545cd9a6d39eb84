"""Kubernetes as what starts and stops workers: the number is exported, a HorizontalPodAutoscaler follows it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily


class KubernetesWorkers:
    """`realtime.ports.Workers`. `wedsync_desired_workers` is absent until a decision was made: the autoscaler then leaves the
    workers as they are, which is right after a restart of the control loop."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._wanted: int | None = None
        registry.register(self)

    def count(self) -> int | None:
        return None  # pods that are to come report when they are there

    async def set_count(self, n: int, reason: str) -> None:
        self._wanted = n

    def collect(self) -> list[GaugeMetricFamily]:
        """Asked by Prometheus' client at each scrape."""
        about = "How many workers the scaler wants; the autoscaler makes it so."
        return [GaugeMetricFamily("wedsync_desired_workers", about, self._wanted)] if self._wanted is not None else []
