"""What a supervisor knows of its fleet, for people and programs that ask. PURE."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from realtime.fleet.children import Child
from realtime.fleet.passing import Seen


def overview(children: Iterable[Child], seen: Seen, now_s: float) -> dict[str, Any]:
    """{"workers": how each stands, "processes": the others, "dispatcher": what it has counted}."""
    rows, others = [], []
    for child in children:
        if child.kind != "worker":
            others.append({"id": child.name, "kind": child.kind, "pid": child.process.pid})
            continue
        standing = seen.workers.get(child.name)
        status = standing.status if standing is not None else None
        state, reason = (standing.state, standing.reason) if standing is not None else ("starting", "not heard of yet")
        rows.append(
            {
                "id": child.name,
                "slot": child.slot,
                "pid": child.process.pid,
                "state": "draining" if child.leaving else state,
                "reason": reason,
                "connections": status.connections if status is not None else None,
                "weddings": status.weddings if status is not None else None,
                "worker": status.worker if status is not None else None,
                "up_s": round(now_s - child.started_s, 1),
            }
        )
    counted = {"passed": seen.passed_total, "again": seen.again_total, "refused": seen.refused_total}
    dispatcher = counted | {"waiting": seen.waiting, "cpu_s": round(seen.cpu_s, 3)}
    return {"workers": rows, "processes": others, "dispatcher": dispatcher}
