"""Whether a worker may get new sockets. PURE: what workers say of themselves and of each other in, a judgement out.

Health is a message that got through (design.md D12). Each worker sends a canary through the mailbox and hears those of the
others and its own. Who hears nothing while others hear something is deaf; whom nobody hears is mute; when nobody hears anything
the mailbox is down, which is nobody's fault: delivery goes on by the journal. Canaries never leave people nowhere to go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from realtime.report import WorkerState

SILENT_S = 1.0
"""Four missed statuses: a worker that is hung, stopped or stalled. Half of the two seconds that may pass at most."""


@dataclass(frozen=True, slots=True)
class Said:
    """The last status of one worker, and how long ago it came, seconds. `canaries`: {worker: None when none came lately}."""

    worker: str
    state: WorkerState
    reason: str
    age_s: float
    canaries: Mapping[str, float | None] = field(default_factory=dict)


def judge(said: Mapping[str, Said]) -> dict[str, tuple[WorkerState, str]]:
    """{slot: (state, why)} for the workers in `said`, {slot: what it said last}."""
    fresh = [s for s in said.values() if s.age_s <= SILENT_S]
    hearing = {s.worker for s in fresh if any(age is not None for age in s.canaries.values())}
    heard = {name for s in fresh for name, age in s.canaries.items() if age is not None}
    judged = {slot: _judge(s, hearing, heard) for slot, s in said.items()}
    if any(state == "ready" for state, _ in judged.values()):
        return judged
    # Where each is deaf or mute in its own way nobody would be left: members come in all the same, and have the journal.
    return {slot: _judge(s, set(), set()) for slot, s in said.items()}


def _judge(said: Said, hearing: set[str], heard: set[str]) -> tuple[WorkerState, str]:
    if said.age_s > SILENT_S:
        return "lame", f"nothing heard of it for {said.age_s:.1f} s"
    if said.state != "ready" or not said.canaries:
        return said.state, said.reason
    if said.worker not in hearing and hearing:
        return "lame", "it hears nothing of the others"
    if said.worker not in heard and heard and said.worker in said.canaries:
        return "lame", "nobody hears it"
    return "ready", said.reason
