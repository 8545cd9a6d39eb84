"""What moves when something is late. PURE: items in, a plan out; nothing here knows the database or the wire.

Rules. The named item moves by the minutes asked for, an anchor too when it is the one named. What depends on it, directly or
through others, moves with it; anchors and what is over stay. Gaps between items are kept (they are walking or travel time);
only buffers absorb: a delay that passes from an item to one that depends on it loses the minutes of the buffers between them,
and those buffers start later and become shorter. Coming earlier gives no minutes back to buffers, and ends where something
would start before what it waits for has ended. Some items run during what they wait for (speeches in the dinner): they are
held to the overlap they had. What is over holds nobody up.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
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
    """`item` now starts `minutes` before the end of `waits_for`, which is more than it did."""

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
    move = _Move(sheet, item_id)
    return move.plan(move.held(sheet[item_id], minutes))


def reorder(items: Iterable[Item], item_id: int, after_id: int) -> Plan:
    """Let `item_id` begin when `after_id` ends, even if that is before another one it waits for: that is then a conflict.

    Raises Impossible for anchors, for unknown items and when `after_id` waits for `item_id`.
    """
    sheet = {item.id: item for item in items}
    if item_id not in sheet or after_id not in sheet:
        raise Impossible("There is no such item on this run sheet.")
    item, after = sheet[item_id], sheet[after_id]
    if item.kind == "anchor":
        raise Impossible("An anchor keeps its time; shift it by name if it really has to move.")
    if item_id == after_id or item_id in _ancestors(sheet, after_id):
        raise Impossible("An item cannot come after one that waits for it.")
    return _Move(sheet, item_id).plan(_minutes(after.end - item.start))


def _minutes(span: timedelta) -> int:
    """Whole minutes, rounded up: an item that ends within a minute needs all of it."""
    return math.ceil(span / timedelta(minutes=1))


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
    """One change being worked out: the sheet as it was and as it becomes."""

    def __init__(self, sheet: dict[int, Item], named: int) -> None:
        self.named = named
        self.old = sheet
        self.new = dict(sheet)
        self.absorbed: dict[int, int] = {}
        buffers = [item for item in sheet.values() if item.kind == "buffer" and not item.over and item.id != named]
        self.buffers = sorted((b for b in buffers if b.minutes), key=lambda buffer: (buffer.start, buffer.id))

    def plan(self, minutes: int) -> Plan:
        self.new[self.named] = self._moved(self.old[self.named], minutes)
        for item in self._followers():
            delay = self._delay(item, minutes)
            if delay:
                self.new[item.id] = self._moved(item, delay)
        for item in list(self.new.values()):
            if item.kind != "buffer" and item.start > self.old[item.id].start:
                self._overlap(item)
        self._shorten()
        changed = {n: item for n, item in self.new.items() if item != self.old[n]}
        return Plan(changed, self.absorbed, tuple(self._conflicts()))

    def held(self, item: Item, minutes: int) -> int:
        """`minutes`; when negative, only as many as leave `item` no further before the end of what it waits for."""
        if minutes >= 0:
            return minutes
        for parent in self._holding(item):
            overlap = max(0, _minutes(parent.end - item.start))
            minutes = max(minutes, _minutes(self.new[parent.id].end - item.start) - overlap)
        return min(0, minutes)

    def _holding(self, item: Item) -> list[Item]:
        """What `item` still waits for, at its old time."""
        return [self.old[p] for p in item.depends_on if p in self.old and p != item.id and not self.old[p].over]

    def _moved(self, item: Item, minutes: int) -> Item:
        """`item` moved; a buffer that is pushed later gives what it has, so that its end moves only by the rest."""
        eaten = 0
        if minutes > 0 and item in self.buffers:
            eaten = min(minutes, item.minutes)
            self._eat(item, eaten)
        return replace(item, start=item.start + timedelta(minutes=minutes), minutes=item.minutes - eaten)

    def _eat(self, buffer: Item, minutes: int) -> None:
        self.absorbed[buffer.id] = max(self.absorbed.get(buffer.id, 0), minutes)

    def _followers(self) -> list[Item]:
        """What may move with the named item, each after all it waits for. Every item is visited once, circles or not."""
        children: dict[int, list[int]] = {}
        for item in sorted(self.old.values(), key=lambda item: item.id):
            if not item.over and item.kind != "anchor":
                for parent in item.depends_on:
                    children.setdefault(parent, []).append(item.id)
        order: list[Item] = []
        seen = {self.named}
        path = [(self.named, iter(children.get(self.named, ())))]
        while path:
            child = next((n for n in path[-1][1] if n not in seen), None)
            if child is None:
                order.append(self.old[path.pop()[0]])
            else:
                seen.add(child)
                path.append((child, iter(children.get(child, ()))))
        return order[-2::-1]

    def _delay(self, item: Item, minutes: int) -> int:
        """Minutes that `item` moves because of what it waits for."""
        moved = [p for p in item.depends_on if p in self.new and self.new[p] != self.old[p]]
        delays = [self._passed_on(self.old[p], item) for p in moved]
        if not delays:
            return 0
        return max(delays) if minutes > 0 else self.held(item, min(delays))

    def _passed_on(self, parent: Item, child: Item) -> int:
        """The parent's delay less what the buffers between the two absorb, the earliest first."""
        delay = _minutes(self.new[parent.id].end - parent.end)
        for buffer in self.buffers:
            between = parent.end <= buffer.start and buffer.end <= child.start and buffer.id not in (parent.id, child.id)
            if delay > 0 and between:
                eaten = min(delay, buffer.minutes)
                self._eat(buffer, eaten)
                delay -= eaten
        return delay

    def _overlap(self, item: Item) -> None:
        """A moved item that now runs into a buffer eats what it needs of it."""
        for buffer in self.buffers:
            if self.old[item.id].end <= buffer.start < item.end:
                self._eat(buffer, min(buffer.minutes, _minutes(item.end - buffer.start)))

    def _shorten(self) -> None:
        for buffer_id, eaten in self.absorbed.items():
            buffer = self.old[buffer_id]
            start = max(self.new[buffer_id].start, buffer.start + timedelta(minutes=eaten))
            self.new[buffer_id] = replace(buffer, start=start, minutes=buffer.minutes - eaten)

    def _conflicts(self) -> Iterator[Conflict]:
        for item in self.new.values():
            for parent in () if item.over else self._holding(self.old[item.id]):
                late = _minutes(self.new[parent.id].end - item.start)
                if late > max(0, _minutes(parent.end - self.old[item.id].start)):
                    yield Conflict(item.id, parent.id, late)
