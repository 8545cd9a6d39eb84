"""The verdict over a recorded history. PURE: names each broken promise, counts it, and shows the first offenders."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable

from msgspec import Struct

from realtime.drills.history import CONFIRMED, History, Message, Seen
from realtime.kinds import KINDS, SERVER
from realtime.roles import ROLES, Audience, Role

SHOWN_MAX = 5
VISIBILITIES: dict[str, int] = {"crew": Audience.CREW, "planners": Audience.PLANNERS}
"""Who may see a run sheet item of this visibility; everybody any other."""
FULL_FORM = frozenset({"who", "notes"})
"""Fields of an item that only the crew gets."""

SENTENCES = {
    "lost": "acknowledged, and then not shown to a member that was there at the end and had caught up beyond it",
    "twice": "shown twice to the same application",
    "out_of_order": "shown after one with a higher offset",
    "phantom": "shown, but nobody known sent it (or the server had refused it)",
    "leaked": "shown to a role that may not see it",
    "stored_twice": "one publication of one client has two offsets",
    "hole": "does not follow on what the member had before it",
}


class Violation(Struct, frozen=True):
    """One promise that was broken: how often, and by which publications first."""

    name: str
    count: int
    first: list[str]
    sentence: str

    def __str__(self) -> str:
        return f"{self.count} {self.name}: {', '.join(self.first)} - {self.sentence}"


class Report(Struct, frozen=True):
    """All violations, and how much of the ephemeral traffic arrived (which promises nothing unless `strict`)."""

    violations: list[Violation]
    deliveries: int
    expected: int
    ephemeral_delivered: int
    ephemeral_expected: int
    unanswered: int

    def count(self, name: str) -> int:
        return next((violation.count for violation in self.violations if violation.name == name), 0)


class _Findings:
    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.first: dict[str, list[str]] = defaultdict(list)

    def add(self, name: str, what: str) -> None:
        self.counts[name] += 1
        if len(self.first[name]) < SHOWN_MAX:
            self.first[name].append(what)

    def violations(self) -> list[Violation]:
        return [Violation(n, self.counts[n], self.first[n], SENTENCES[n]) for n in SENTENCES if self.counts[n]]


def check(history: History, *, strict_ephemeral: bool = False) -> Report:
    """What was promised and not kept. Walks every sight once and every (message, member of its room) once."""
    findings = _Findings()
    for seen in history.members:
        _check_stream(history, seen, findings)
        _check_sights(history, seen, findings)
        _check_items(seen, findings)
    _check_stored(history, findings)
    return _check_losses(history, findings, strict_ephemeral)


def _who(seen: Seen, message: Message) -> str:
    return f"{message.room}/{message.kind} {message.id or '(no id)'} at {seen.member} ({seen.role})"


def _server_made(message: Message) -> bool:
    kind = KINDS.get(message.kind)
    return kind is not None and kind.publishers == SERVER


def _audience(message: Message) -> int:
    if message.audience is not None:
        return message.audience
    kind = KINDS.get(message.kind)
    return int(kind.audience) if kind is not None else 0


def _durable(message: Message) -> bool:
    kind = KINDS.get(message.kind)
    return kind is None or kind.durable


def _check_stream(history: History, seen: Seen, findings: _Findings) -> None:
    """Order and holes: walks the offsets, with the marks where a snapshot or a catch-up set the position."""
    marks = iter([*seen.marks, None])
    mark = next(marks)
    position, highest = None, 0
    for index, offset in enumerate(seen.offsets):
        while mark is not None and mark.index <= index:
            position, highest = mark.offset, mark.offset if mark.snapshot else max(highest, mark.offset)
            mark = next(marks)
        if not offset:
            continue
        message = history.messages[seen.refs[index]]
        if offset < highest:
            findings.add("out_of_order", _who(seen, message))
        elif offset > highest and position is not None and seen.prevs[index] != position:
            findings.add("hole", f"{_who(seen, message)}: prev {seen.prevs[index]} after {position}")
        highest = max(highest, offset)
        position = highest


def _check_sights(history: History, seen: Seen, findings: _Findings) -> None:
    """Doubles, phantoms and leaks."""
    role = ROLES.get(seen.role, Role(0))
    shown: set[int] = set()
    for ref, via in zip(seen.refs, seen.vias, strict=True):
        if via == CONFIRMED:
            continue
        message = history.messages[ref]
        if ref in shown:
            if _durable(message) or not _server_made(message):
                findings.add("twice", _who(seen, message))
            continue
        shown.add(ref)
        if (not message.sent or message.refused) and not _server_made(message):
            findings.add("phantom", _who(seen, message))
        if not _audience(message) & role:
            findings.add("leaked", _who(seen, message))


def _check_items(seen: Seen, findings: _Findings) -> None:
    role = ROLES.get(seen.role, Role(0))
    for (visibility, fields), example in seen.shapes.items():
        if not VISIBILITIES.get(visibility, Audience.EVERYONE) & role:
            findings.add("leaked", f"{seen.room}/{example} ({visibility} only) at {seen.member} ({seen.role})")
        elif role & (Role.GUEST | Role.DISPLAY) and fields & FULL_FORM:
            findings.add(
                "leaked", f"{seen.room}/{example} ({', '.join(sorted(fields & FULL_FORM))}) at {seen.member} ({seen.role})"
            )


def _check_stored(history: History, findings: _Findings) -> None:
    offsets: dict[int, set[int]] = {
        ref: {message.offset} for ref, message in enumerate(history.messages) if message.offset and not message.refused
    }
    for seen in history.members:
        for ref, offset in zip(seen.refs, seen.offsets, strict=True):
            if offset:
                offsets.setdefault(ref, set()).add(offset)
    for ref, found in offsets.items():
        if len(found) > 1:
            message = history.messages[ref]
            findings.add("stored_twice", f"{message.room}/{message.kind} {message.id} at {sorted(found)}")


def _check_losses(history: History, findings: _Findings, strict: bool) -> Report:
    by_room: dict[str, list[tuple[int, Message]]] = defaultdict(list)
    for ref, message in enumerate(history.messages):
        if message.sent and not message.refused:
            by_room[message.room].append((ref, message))
    expected = delivered = ephemeral_expected = ephemeral_delivered = 0
    for seen in history.members:
        mine = set(seen.refs)
        role = ROLES.get(seen.role, Role(0))
        for ref, message in by_room.get(seen.room, ()):
            if not _audience(message) & role:
                continue
            if _durable(message):
                verdict = _kept(seen, message, ref in mine)
                if verdict is not None:
                    expected, delivered = expected + 1, delivered + verdict
                    if not verdict:
                        findings.add("lost", f"{_who(seen, message)}, acknowledged at {message.offset}")
            elif _online(seen, message.intended_s):
                ephemeral_expected, ephemeral_delivered = ephemeral_expected + 1, ephemeral_delivered + (ref in mine)
                if strict and ref not in mine:
                    findings.add("lost", _who(seen, message))
    return Report(
        violations=findings.violations(),
        deliveries=sum(len(seen.refs) for seen in history.members),
        expected=expected,
        ephemeral_delivered=ephemeral_delivered,
        ephemeral_expected=ephemeral_expected,
        unanswered=sum(m.sent and not m.answered and _durable(m) for m in history.messages),
    )


def _kept(seen: Seen, message: Message, shown: bool) -> bool | None:
    """Whether this member got this message, None when nothing was promised."""
    if shown:
        return True
    if not message.offset or message.vanishes or seen.left or seen.position < message.offset:
        return None
    return any(mark.snapshot and mark.offset >= message.offset for mark in seen.marks)


def _online(seen: Seen, at_s: float) -> bool:
    return any(start <= at_s <= end for start, end in seen.spans)


def behind(history: History, heads: Callable[[Seen], int]) -> Iterable[Seen]:
    """Members that stayed and have not reached the last acknowledged offset they may see."""
    return (seen for seen in history.members if not seen.left and seen.position < heads(seen))


def last_acknowledged(history: History) -> Callable[[Seen], int]:
    """For `behind`: the highest offset acknowledged in a member's room of what its role may see."""
    heads: dict[tuple[str, int], int] = defaultdict(int)
    for message in history.messages:
        if message.offset and not message.refused and _durable(message):
            place = (message.room, _audience(message))
            heads[place] = max(heads[place], message.offset)
    audiences = {audience for _, audience in heads}

    def head(seen: Seen) -> int:
        role = ROLES.get(seen.role, Role(0))
        return max((heads.get((seen.room, audience), 0) for audience in audiences if audience & role), default=0)

    return head
