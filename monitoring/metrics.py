"""The metrics of our own: what each is, what a rise means, what to do; and how it is read. PURE.

This table is what the exporter says, what docs/operations.md lists, and what rules and dashboards may use. Labels are bounded:
never a wedding or a person. `worker` is the slot, put on by service discovery. A reading that was not taken is absent, never 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, Literal, TypeVar

from msgspec import Struct

from monitoring.figures import Figures
from realtime.histogram import Buckets
from realtime.report import WorkerReport

Kind = Literal["gauge", "counter", "histogram"]
Reading = float | Mapping[str, float] | Mapping[str, Buckets] | None
"""A number; {value of the label: number}; {value of the label: histogram of seconds}; None: not measured."""
Source = TypeVar("Source", WorkerReport, Figures)


class Metric(Struct, Generic[Source], frozen=True):
    """One metric. `rise`: what it means when it rises; `do`: what the operator does about it."""

    name: str
    kind: Kind
    about: str
    rise: str
    do: str
    read: Callable[[Source], Reading]
    label: str = ""


NOTHING = "Nothing."


# fmt: off
def _people() -> Iterator[Metric[WorkerReport]]:
    yield Metric(
        "wedsync_connections", "gauge", "People and programs connected, by role.",
        "People come. A sudden fall: a venue or a worker is gone.",
        "Compare with the forecast of the day; the scaler follows it.", lambda r: r.connections, "role",
    )
    yield Metric(
        "wedsync_weddings", "gauge", "Weddings this worker holds.", "Weddings begin, or were moved here.", NOTHING,
        lambda r: len(r.weddings),
    )
    yield Metric(
        "wedsync_joins_total", "counter", "Members let in.", "A peak after a crash is people who come back.",
        "Without a crash: look whether a network drops them again and again.", lambda r: r.joins_total,
    )
    yield Metric(
        "wedsync_joins_refused_total", "counter", "Members told to come back later.",
        "More come at once than the workers let in.",
        "After a crash that is so for seconds. Otherwise add a worker.", lambda r: r.joins_refused_total,
    )


def _traffic() -> Iterator[Metric[WorkerReport]]:
    yield Metric(
        "wedsync_publications_total", "counter", "Publications taken from publishers.", "More is said.",
        "Only when latency rises too: look who publishes so much.", lambda r: r.publications_total, "priority",
    )
    yield Metric(
        "wedsync_deliveries_total", "counter", "Publications handed to recipients' sockets.",
        "More is said, or to more people.", "When it nears WEDSYNC_CAPACITY_DELIVERIES_PER_S for each worker: add one.",
        lambda r: r.deliveries_total, "priority",
    )
    yield Metric(
        "wedsync_delivery_seconds", "histogram",
        "From the publisher's socket to the recipient's, every delivery but those of drills. No _sum: a mean is no promise.",
        "People see changes later. Over 0.1 s for P0 and P1 the promise is broken.",
        "One worker: drain it. All: add a worker, look at the journal's database.", lambda r: r.latency, "priority",
    )
    yield Metric(
        "wedsync_ack_seconds", "histogram",
        "From the publisher's socket to the recipient's acknowledgement, P0 and P1. No _sum.",
        "Alone: the networks of venues are slow. With wedsync_delivery_seconds: we are.",
        "Alone: call the planner of the venue. Else see wedsync_delivery_seconds.", lambda r: r.acked, "priority",
    )
    yield Metric(
        "wedsync_outbox_bytes", "gauge", "Waiting for members that are behind.", "Many members do not read.",
        "One venue: its network is down. All: the way to the internet is.", lambda r: r.outbox_bytes,
    )


def _promise() -> Iterator[Metric[WorkerReport]]:
    yield Metric(
        "wedsync_stream_faults_total", "counter", "Gaps, doubles and order faults that clients reported.",
        "A broken promise. Must never rise.", "Keep the worker's log and the journal as they are, drain the worker.",
        lambda r: r.gaps_total,
    )
    yield Metric(
        "wedsync_too_slow_total", "counter", "Connections closed since they took nothing for too long.",
        "Phones on bad networks; they come back and resume.", "When it goes on: look which venue it is.",
        lambda r: r.too_slow_total,
    )
    yield Metric(
        "wedsync_shed_total", "counter", "Publications not delivered because of overload, by role.",
        "The worker is overloaded: reactions and presence are left out, guests first.", "Add a worker when it goes on.",
        lambda r: r.shed_total, "role",
    )
    yield Metric(
        "wedsync_loop_lag_seconds", "gauge", "The longest time of the last second that the loop was late for a timer.",
        "Something blocks the loop.", "Drain the worker; its log names slow callbacks.", lambda r: r.lag_s,
    )
    yield Metric(
        "wedsync_journal_up", "gauge", "1: publications can be stored.",
        "A fall to 0: emergencies still leave at once, changes wait on devices.", "Bring the journal's database back.",
        lambda r: float(r.journal_healthy),
    )
    yield Metric(
        "wedsync_layer_up", "gauge", "1: the other workers are reached. Absent: there are none.",
        "A fall to 0: deliveries across workers take up to a second.", "Bring Redis back.",
        lambda r: None if r.layer_healthy is None else float(r.layer_healthy),
    )
    yield Metric(
        "wedsync_canary_seconds", "gauge", "How long the slowest canary of the other workers took to arrive here.",
        "Deliveries across workers are slow.", "Look at Redis and at the loops of both workers.",
        lambda r: max((took for took in r.canaries.values() if took is not None), default=None),
    )
    yield Metric(
        "wedsync_canaries_lost", "gauge", "Other workers that are not heard of here.",
        "What they publish does not arrive here, or only by way of the journal.", "Drain the worker that many do not hear.",
        lambda r: sum(took is None for took in r.canaries.values()),
    )


def _machine() -> Iterator[Metric[WorkerReport]]:
    yield Metric(
        "wedsync_ready", "gauge", "1: gets new members.", "A fall to 0: it is starting, draining or lame.",
        "`manage.py fleet` says why.", lambda r: float(r.state == "ready"),
    )
    yield Metric(
        "wedsync_busy_ratio", "gauge", "CPU seconds a second; 1 is a whole core.", "More load. Over 0.95 latency follows.",
        "Add a worker, or pin the scaler higher; the balancer then moves weddings.", lambda r: r.busy,
    )
    yield Metric(
        "wedsync_memory_bytes", "gauge", "Resident memory.", "More connections, or more that waits for slow members.",
        "When it rises without either: deploy (a new process), keep the figures for us.", lambda r: r.rss_bytes,
    )
    yield Metric(
        "wedsync_window_seconds", "gauge", "For how long publications of a room are collected before they leave together.",
        "The worker saves work since it is busy; P0 never waits.", "At 0.05 it has nothing left to save: add a worker.",
        lambda r: r.window_s,
    )
    yield Metric(
        "wedsync_connections_planned", "gauge", "Connections by how they are served.",
        "`light`: phones on bad networks do without reactions and positions.", NOTHING, lambda r: r.plans, "plan",
    )
    yield Metric(
        "wedsync_start_time_seconds", "gauge", "When the process began, Unix time.", "It was restarted, or deployed.",
        "Not deployed: look at its log, why did it end?", lambda r: r.started_s,
    )
    yield Metric(
        "wedsync_report_time_seconds", "gauge", "When the worker said all this, Unix time.",
        "Is to rise every second. When it stands still the worker hangs; after 5 s it is absent.", "See worker-missing.",
        lambda r: r.at_s,
    )


def _fleet() -> Iterator[Metric[Figures]]:
    yield Metric(
        "wedsync_workers", "gauge", "Workers that report, by state.", "The scaler added some, or a deploy is under way.",
        "A fall without either: see worker-missing.", lambda f: f.states, "state",
    )
    yield Metric(
        "wedsync_workers_missing", "gauge", "Workers that fell silent within the last minute and were not replaced.",
        "A worker died or hangs.", "Its people are moving by themselves. Look at its log.", lambda f: len(f.missing),
    )
    yield Metric(
        "wedsync_wanted_workers", "gauge", "How many workers the scaler wants, in whatever mode.",
        "More load, or weddings soon.", "In mode `advise` nobody but you acts on it.", lambda f: f.wanted,
    )
    yield Metric(
        "wedsync_desired_workers", "gauge", "The same as an order to an autoscaler: absent unless mode `auto` or a pin.",
        "The autoscaler starts workers.", NOTHING, lambda f: f.desired,
    )
    yield Metric(
        "wedsync_fleet_connections", "gauge", "Connections of all workers, by role.", "See wedsync_connections.",
        "See there.", lambda f: f.connections, "role",
    )
    yield Metric(
        "wedsync_fleet_publications_total", "counter", "Publications of all workers, restarts included.", "More is said.",
        NOTHING, lambda f: f.total.publications,
    )
    yield Metric(
        "wedsync_fleet_delivery_seconds", "histogram",
        "wedsync_delivery_seconds of all workers, merged exactly, restarts included.",
        "See wedsync_delivery_seconds.", "See there.", lambda f: f.total.latency, "priority",
    )
    yield Metric(
        "wedsync_fleet_ack_seconds", "histogram", "wedsync_ack_seconds of all workers, merged exactly.",
        "See wedsync_ack_seconds.", "See there.", lambda f: f.total.acked, "priority",
    )
    yield Metric(
        "wedsync_fleet_stream_faults_total", "counter", "wedsync_stream_faults_total of all workers.", "A broken promise.",
        "See wedsync_stream_faults_total.", lambda f: f.total.faults,
    )


def _history() -> Iterator[Metric[Figures]]:
    yield Metric(
        "wedsync_alerts_firing", "gauge", "Alerts of the admin that fire now.", "See which: *Alerts* in the admin.",
        "What the rule says.", lambda f: f.alerts,
    )
    yield Metric(
        "wedsync_history_waiting_rows", "gauge", "Rows of history that are not in its database yet.",
        "Over a minute's worth: the history database is slow or away. Delivery does not notice.",
        "Bring it back within a quarter of an hour.", lambda f: f.history_waiting,
    )
    yield Metric(
        "wedsync_history_dropped_total", "counter", "Rows of history that will never be in its database.",
        "It was away for more than a quarter of an hour, or when the control loop ended, or the clock was set back and has "
        "that time twice; charts and day reports have a hole.",
        "Say so in the day report.", lambda f: f.history_dropped_total,
    )
    yield Metric(
        "wedsync_control_time_seconds", "gauge", "When the control loop last ticked, Unix time.",
        "Is to rise every second. Absent: no loop holds the lease.", "Start `manage.py control_loop`, look at Redis.",
        lambda f: f.at_s,
    )


# fmt: on
OF_WORKERS = (*_people(), *_traffic(), *_promise(), *_machine())
OF_FLEET = (*_fleet(), *_history())
_ALL: tuple[Metric[Any], ...] = (*OF_WORKERS, *OF_FLEET)
METRICS = {metric.name: metric for metric in _ALL}
