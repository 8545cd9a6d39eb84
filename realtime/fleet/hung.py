"""Which processes of a fleet hang: they hold people who do not know it yet, and their end tells them. PURE."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from realtime.fleet.children import Child
from realtime.fleet.passing import Seen

READY_S = 30.0
"""For a process to be ready."""
HUNG_S = 30.0
"""Without a word a process is hung: it says four times a second how it is."""


def hung(children: Iterable[Child], seen: Seen, heard_s: float, awake_s: float, now_s: float) -> Iterator[tuple[Child, float]]:
    """(process, for how long it has said nothing). `seen`: by the dispatcher, which was heard of last at `heard_s`. `awake_s`:
    since when the supervisor has not stood still, as all of a paused machine does.

    Of a web process that is being replaced the end is near, however it stands. Those whom a dispatcher has not heard yet are
    judged by how long it could have: it may be new itself.
    """
    there = [child for child in children if child.running]
    dispatcher, web = (_newest(there, kind) for kind in ("dispatcher", "web"))
    if dispatcher is None:
        return
    if (silent := now_s - max(heard_s, dispatcher.started_s, awake_s)) > HUNG_S:
        yield dispatcher, silent
    silent_s = {name: standing.silent_s for name, standing in seen.workers.items()}
    silent_s |= {web.name: seen.web_silent_s} if web is not None else {}
    for child in there:
        if child.kind != "worker" and child is not web:
            continue
        silent, limit_s = silent_s.get(child.name, 0.0), HUNG_S
        if child.name not in seen.heard:
            silent = now_s - max(child.started_s, dispatcher.started_s, awake_s)
            limit_s += READY_S if child.started_s + READY_S > dispatcher.started_s else 0.0
        if silent > limit_s:
            yield child, silent


def _newest(children: list[Child], kind: str) -> Child | None:
    """The newest that is not on its way out."""
    return next((child for child in reversed(children) if child.kind == kind and not child.leaving), None)
