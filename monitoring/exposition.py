"""The table of metrics in Prometheus' words. No work is done for a delivery here: workers have counted it already."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from monitoring.figures import Figures
from monitoring.metrics import OF_FLEET, OF_WORKERS, Metric, Reading
from realtime.histogram import EXPORTED_S, within
from realtime.report import WorkerReport

Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily
_EDGES = [floatToGoString(edge_s) for edge_s in EXPORTED_S]  # type: ignore[no-untyped-call]


class Exporter(Collector):
    """A `prometheus_client` collector over the table: `source()` is asked at each scrape; None: there is nothing to say."""

    def __init__(self, metrics: Sequence[Metric[Any]], source: Callable[[], object | None]) -> None:
        self._metrics = metrics
        self._source = source

    def collect(self) -> Iterator[Family]:
        """Asked by Prometheus' client."""
        source = self._source()
        for metric in self._metrics if source is not None else ():
            reading = metric.read(source)
            if reading is not None:
                yield _family(metric, reading)


def worker_page(report: WorkerReport) -> bytes:
    """What one worker says of itself."""
    return generate_latest(Exporter(OF_WORKERS, lambda: report))


def fleet_page(figures: Figures | None) -> bytes:
    """What the control loop says of all of them."""
    return generate_latest(Exporter(OF_FLEET, lambda: figures))


def _family(metric: Metric[Any], reading: Reading) -> Family:
    labels = [metric.label] if metric.label else []
    if metric.kind == "histogram":
        assert isinstance(reading, Mapping)
        return _histogram(HistogramMetricFamily(metric.name, metric.about, labels=labels), metric, reading.items())
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = kind(metric.name, metric.about, labels=labels)
    for value, number in reading.items() if isinstance(reading, Mapping) else [("", reading)]:
        family.add_metric([value] if labels else [], number)  # type: ignore[arg-type]
    return family


def _histogram(
    family: HistogramMetricFamily, metric: Metric[Any], readings: Iterable[tuple[str, Any]]
) -> HistogramMetricFamily:
    for value, buckets in readings:
        count = sum(buckets.values())
        counts = [*zip(_EDGES, within(buckets, EXPORTED_S), strict=True), ("+Inf", count)]
        family.add_metric([value], counts, sum_value=None)
        family.add_sample(f"{metric.name}_count", {metric.label: value}, count)
    return family
