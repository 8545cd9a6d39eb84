"""Kubernetes as what starts and stops workers: the number is exported, a HorizontalPodAutoscaler follows it."""

from __future__ import annotations


class KubernetesWorkers:
    """`realtime.ports.Workers`. What is decided goes out as the metric `wedsync_desired_workers` of the control loop. It is
    absent until a decision was made: the autoscaler then leaves the workers as they are, which is right after a restart. Until
    the next decision it stays what it is, for however many minutes the autoscaler takes to follow (`WebSocketScaler`)."""

    def count(self) -> int | None:
        return None  # pods that are to come report when they are there

    async def set_count(self, n: int, reason: str) -> None:
        """Nothing is to be done."""
