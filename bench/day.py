"""A Saturday as the load generator plays it: several processes, each with whole weddings, and one answer of them all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.generator import Counts, Crowd
from bench.machine import CannotMeasure
from bench.peers import wedsync
from bench.target import Target
from realtime.config import RealtimeConfig
from realtime.drills.workloads import ENVELOPE_BYTES, Planned, Profile, RoomPlan, schedule
from realtime.kinds import KINDS
from realtime.roles import ROLES

PER_PROCESS = 15_000
"""Connections of one process: 20,000 open files are usual."""
SOURCES = PER_PROCESS // 5_000
"""Addresses each process connects from."""
MARK = "@"
MARK_BYTES = 31
CLASSES = {"p01": (0, 1), "p2": (2,), "p3": (3,)}
# Where the mark goes in the data of each kind; %a and %b are items of the run sheet. `vendor.location` has no place for it.
DATA = {
    "emergency.alert": '{"alert":"a%i","category":"medical","text":"@"}',
    "timeline.shift": '{"item":%b,"minutes":5,"reason":"@"}',
    "timeline.event": '{"item":%b,"status":"in_progress","note":"@"}',
    "cue.go": '{"item":%a,"note":"@"}',
    "vendor.status": '{"vendor":"v%i","status":"on_site","reason":"@"}',
    "issue.report": '{"issue":"i%i","title":"Rain","severity":"high","category":"weather","text":"@"}',
    "guest.checkin": '{"guest":"g%i","name":"@"}',
    "chat.crew": '{"text":"@"}',
    "chat.guests": '{"text":"@"}',
    "seating.change": '{"guest":"g%i","table":"@"}',
    "rsvp.change": '{"guest":"@","answer":"yes"}',
    "menu.change": '{"guest":"g%i","menu":"vegan","dietary":"@"}',
    "photo.new": '{"photo":"p%i","url":"https://photos.example/p","caption":"@"}',
    "reaction": '{"target":"@","emoji":"\N{PARTY POPPER}"}',
}
SHORT = ("rsvp.change", "seating.change")
"""Kinds whose mark stands in a field that takes no more than it."""


class DayCrowd(Crowd):
    """The members of some weddings, each with its role, in one process."""

    def __init__(self, target: Target, plan: Sequence[RoomPlan], number: int, *, yields: bool = False) -> None:
        self._plan = plan
        rooms = {room.name: len(room.roles) for room in plan}
        super().__init__(target, rooms, None, lanes=3, source=number * SOURCES, stamped=True, yields=yields)

    def _write_members(self, path: Path) -> None:
        config, port = RealtimeConfig(), self.target.ports[0]
        pings = dict.fromkeys(ROLES, config.heartbeat_s / 2) | dict.fromkeys(
            ("planner", "couple"), config.planner_heartbeat_s / 2
        )
        with path.open("w") as file:
            for room in self._plan:
                where = self.target.speech.path.format(room=room.name)
                for n, role in enumerate(room.roles):
                    header = wedsync.ticket(room.name, n, role)
                    file.write(f"{room.name}\t{port}\t{where}\t{header}\t{int(ROLES[role])}\t{pings[role]:g}\n")


def script(profile: Profile, plan: Sequence[RoomPlan], items: dict[str, tuple[int, int]], seconds: float, seed: int) -> str:
    """What `loadgen`'s `play` reads. `items`: {wedding: (a cue, another item)}."""
    sizes = {rate.kind: rate.bytes for rate in profile.rates}
    number = {kind: n for n, kind in enumerate(kind for kind in DATA if kind in sizes)}
    lines = [_kind(kind, sizes[kind]) for kind in number]
    lines += [f"items\t{n}\t{items[room.name][0]}\t{items[room.name][1]}" for n, room in enumerate(plan)]
    first = [0]
    for room in plan:
        first.append(first[-1] + len(room.roles))
    said = schedule(profile, plan, seconds, seed, [items[room.name] for room in plan])
    lines += [_step(one, first, number) for one in said if not one.kind or one.kind in number]
    return "\n".join(lines) + "\n"


def _kind(name: str, size: int) -> str:
    kind = KINDS[name]
    before, after = f'{{"t":"publish","id":"%i","kind":"{name}","data":{DATA[name]}}}'.split(MARK)
    of = next(n for n, priorities in enumerate(CLASSES.values()) if kind.priority in priorities)
    pad = max(0, size - ENVELOPE_BYTES - MARK_BYTES) if (kind.durable or name == "photo.new") and name not in SHORT else 0
    return f"kind\t{of}\t{int(kind.audience)}\t{pad}\t{before}\t{after}"


def _step(one: Planned, first: Sequence[int], number: dict[str, int]) -> str:
    return f"at\t{round(one.t_s * 1e6)}\t{first[one.room] + one.member}\t{number[one.kind] if one.kind else -1}"


class Crowds:
    """All processes together. A context manager, as a crowd is. `yields`: see `Crowd`."""

    def __init__(self, target: Target, plan: Sequence[RoomPlan], *, yields: bool = False) -> None:
        self.parts = parts(plan)
        self._crowds = [DayCrowd(target, part, number, yields=yields) for number, part in enumerate(self.parts)]

    def __enter__(self) -> Crowds:
        return self

    def __exit__(self, *exception: object) -> None:
        for crowd in self._crowds:
            crowd.__exit__(*exception)

    def open(self, in_flight: int, patience_s: float) -> Counts:
        """Connect everybody. Raises CannotMeasure when not all are live in time."""
        counts = self._all([f"open {max(1, in_flight // len(self._crowds))} {patience_s:g}"] * len(self._crowds))
        live, members = (sum(answer[name] for answer in counts) for name in ("live", "members"))
        if live < members:
            failures = {answer["failure"] for answer in counts if answer["failure"]}
            raise CannotMeasure(f"only {live:,} of {members:,} were live after {patience_s:g} s ({'; '.join(failures)})")
        return {
            "live": live,
            "pubs": sum(answer["pubs"] for answer in counts),
            "seconds": max(answer["seconds"] for answer in counts),
        }

    def hold(self, seconds: float) -> None:
        """Only answer and ping: the storm of coming in is over then."""
        self._all([f"hold {seconds:g}"] * len(self._crowds))

    def play(self, scripts: Sequence[str], seconds: float, drain_s: float, folder: Path) -> Counts:
        """Everybody plays their part at the same time."""
        commands = []
        for number, text in enumerate(scripts):
            (path := folder / f"part-{number}").write_text(text, encoding="utf-8")
            commands.append(f"play {path} {seconds:g} {drain_s:g}")
        return merged(self._all(commands))

    def _all(self, commands: Sequence[str]) -> list[Counts]:
        for crowd, command in zip(self._crowds, commands, strict=True):
            crowd.tell(command)
        return [crowd.hear(command) for crowd, command in zip(self._crowds, commands, strict=True)]


def parts(plan: Sequence[RoomPlan]) -> list[list[RoomPlan]]:
    """The weddings in turn over as many processes as it takes."""
    count = -(-sum(len(room.roles) for room in plan) // PER_PROCESS)
    return [list(plan[number::count]) for number in range(count)]


SUMS = (
    "pubs",
    "unsent",
    "cut",
    "failed",
    "closed",
    "refused",
    "out_of_order",
    "recovered",
    "replayed",
    "snapshots",
    "live",
    "members",
)


def merged(answers: Sequence[Counts]) -> Counts:
    """One answer: sums, quantiles over everything that was measured, CPU of the servers as the first one saw it.

    `p3_p99_ms`: from the intended moment of sending until the generator saw it. `p3_wire_p99_ms`: from the moment it left the
    publisher until the recipient's kernel had it, which is what the server can know.
    """
    found: dict[str, Any] = {name: sum(answer[name] for answer in answers) for name in SUMS}
    found |= {name: next((a[name] for a in answers if a[name]), "") for name in ("failure", "refusal")}
    found |= {name: answers[0][name] for name in ("cpu_s", "seconds", "server_kept_waiting")}
    found |= {"busy": max(a["busy"] for a in answers), "generator_cpu_s": sum(a["busy"] * a["seconds"] for a in answers)}
    found["kept_waiting"] = max(a["kept_waiting"] for a in answers)
    for name in CLASSES:
        for what in ("published", "refused", "expected", "distinct", "twice", "measured"):
            found[f"{name}_{what}"] = sum(answer[f"{name}_{what}"] for answer in answers)
        found[f"{name}_lost"] = found[f"{name}_expected"] - found[f"{name}_distinct"]
        for what in (name, f"{name}_wire"):
            counts = sum((Counter(dict(answer[f"{what}_buckets"])) for answer in answers), Counter[int]())
            for q, label in ((0.5, "p50"), (0.99, "p99"), (0.999, "p999")):
                found[f"{what}_{label}_ms"] = quantile_ms(counts, q)
    return found


def quantile_ms(buckets: Counter[int], q: float) -> float | None:
    """The upper end of the bucket of `loadgen/count.c`, None when nothing was measured."""
    total, passed = buckets.total(), 0
    for index in sorted(buckets):
        passed += buckets[index]
        if passed >= q * total:
            upper = index if index < 64 else ((64 + index % 64 + 1) << (index // 64 - 1)) - 1
            return upper / 1_000
    return None
