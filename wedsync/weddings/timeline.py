"""What moves when something is late. PURE: items in, a plan out; nothing here knows the database or the wire.

Rules. The named item moves by the minutes asked for, an anchor too when it is the one named. What depends on it, directly or
through others, moves with it; anchors and what is over stay. Gaps between items are kept (they are walking or travel time);
only buffers absorb: a delay that passes from an item to one that depends on it loses the minutes of the buffers between them,
and those buffers become shorter. Coming earlier gives no minutes back to buffers, and nothing starts before what it depends on
has ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Item:
    """A line of the run sheet as far as time goes. `depends_on` are ids; `over`: completed or cancelled."""

    id: int
    start: datetime
    minutes: int
    kind: str
    depends_on: tuple[int, ...] = ()
    over: bool = False

    @property
    def end(self) -> datetime:
        return self.start + timedelta(minutes=self.minutes)


@dataclass(frozen=True, slots=True)
class Conflict:
    """`item` stays where it is although `waits_for` ends later than it starts."""

    item: int
    waits_for: int
    minutes: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What changes: {id: item with its new time}, minutes eaten by buffer {id: minutes}, and what no longer fits."""

    changed: dict[int, Item] = field(default_factory=dict)
    absorbed: dict[int, int] = field(default_factory=dict)
    conflicts: tuple[Conflict, ...] = ()


class Impossible(ValueError):
    """The run sheet does not allow this change."""


def shift(items: Iterable[Item], item_id: int, minutes: int) -> Plan:
    """Move `item_id` by `minutes` (negative: earlier) and what follows from it. Raises Impossible for an unknown item."""
    sheet = {item.id: item for item in items}
    if item_id not in sheet:
        raise Impossible("There is no such item on this run sheet.")
    return _Move(sheet).start(item_id, minutes)


def reorder(items: Iterable[Item], item_id: int, after_id: int) -> Plan:
    """Let `item_id` begin when `after_id` ends. Raises Impossible for anchors and for an item that depends on it."""
    sheet = {item.id: item for item in items}
    if item_id not in sheet or after_id not in sheet:
        raise Impossible("There is no such item on this run sheet.")
    item, after = sheet[item_id], sheet[after_id]
    if item.kind == "anchor":
        raise Impossible("An anchor keeps its time; shift it by name if it really has to move.")
    if item_id == after_id or item_id in _ancestors(sheet, after_id):
        raise Impossible("An item cannot come after one that waits for it.")
    return shift(sheet.values(), item_id, round((after.end - item.start).total_seconds() / 60))


def _ancestors(sheet: Mapping[int, Item], item_id: int) -> set[int]:
    """Everything `item_id` waits for, directly or not. A circle in the data does not hang it."""
    found: set[int] = set()
    waiting = [item_id]
    while waiting:
        for parent in sheet[waiting.pop()].depends_on:
            if parent in sheet and parent not in found:
                found.add(parent)
                waiting.append(parent)
    return found


class _Move:
    def __init__(self, sheet: dict[int, Item]) -> None:
        self.old = sheet
        self.new = dict(sheet)
        self.absorbed: dict[int, int] = {}
        self.buffers = [item for item in sheet.values() if item.kind == "buffer" and not item.over]

    def start(self, item_id: int, minutes: int) -> Plan:
        self.new[item_id] = self._moved(item_id, minutes)
        for follower in self._followers(item_id):
            delay = self._delay(self.old[follower], minutes)
            if delay:
                self.new[follower] = self._moved(follower, delay)
        for item in self._moved_items():
            self._overlap(item)
        self._shorten()
        changed = {n: item for n, item in self.new.items() if item != self.old[n]}
        return Plan(changed, self.absorbed, self._conflicts(changed))

    def _moved(self, item_id: int, minutes: int) -> Item:
        item = self.old[item_id]
        return replace(item, start=item.start + timedelta(minutes=minutes))

    def _moved_items(self) -> list[Item]:
        return [item for n, item in self.new.items() if item.start > self.old[n].start]

    def _followers(self, item_id: int) -> list[int]:
        """What may move with `item_id`, each after all it waits for. Anchors, buffers and what is over stay."""
        children: dict[int, list[int]] = {}
        for item in self.old.values():
            for parent in item.depends_on:
                children.setdefault(parent, []).append(item.id)
        order: list[int] = []
        seen = {item_id}

        def visit(parent: int) -> None:
            for child in sorted(children.get(parent, ())):
                item = self.old[child]
                if child in seen or item.over or item.kind in ("anchor", "buffer"):
                    continue
                seen.add(child)
                visit(child)
                order.append(child)

        visit(item_id)
        return order[::-1]

    def _delay(self, item: Item, minutes: int) -> int:
        """Minutes that `item` moves because of what it waits for."""
        delays = [self._passed_on(self.old[p], item) for p in item.depends_on if p in self.new and self.new[p] != self.old[p]]
        if not delays:
            return 0
        if minutes > 0:
            return max(delays)
        earliest = max(self.new[p].end for p in item.depends_on if p in self.new)
        room = -max(0, round((item.start - earliest).total_seconds() / 60))
        return max(min(delays), room)

    def _passed_on(self, parent: Item, child: Item) -> int:
        """The parent's delay less what the buffers between the two absorb."""
        delay = round((self.new[parent.id].start - parent.start).total_seconds() / 60)
        for buffer in self.buffers:
            if delay > 0 and parent.end <= buffer.start and buffer.end <= child.start:
                eaten = min(delay, buffer.minutes)
                self.absorbed[buffer.id] = max(self.absorbed.get(buffer.id, 0), eaten)
                delay -= eaten
        return delay

    def _overlap(self, item: Item) -> None:
        """A moved item that now runs into a buffer eats what it needs of it."""
        if item.kind == "buffer":
            return
        for buffer in self.buffers:
            if self.old[item.id].end <= buffer.start < item.end:
                eaten = min(buffer.minutes, round((item.end - buffer.start).total_seconds() / 60))
                self.absorbed[buffer.id] = max(self.absorbed.get(buffer.id, 0), eaten)

    def _shorten(self) -> None:
        for buffer_id, eaten in self.absorbed.items():
            buffer = self.new[buffer_id]
            start = buffer.start + timedelta(minutes=eaten)
            self.new[buffer_id] = replace(buffer, start=start, minutes=buffer.minutes - eaten)

    def _conflicts(self, changed: Mapping[int, Item]) -> tuple[Conflict, ...]:
        found = []
        for item in self.new.values():
            for parent in (self.new[p] for p in item.depends_on if p in self.new):
                late = round((parent.end - item.start).total_seconds() / 60)
                if late > 0 and not item.over and (parent.id in changed or item.id in changed):
                    found.append(Conflict(item.id, parent.id, late))
        return tuple(found)
