"""Figures as people read them. PURE. What was not measured is said, never shown as a number."""

from __future__ import annotations

from datetime import UTC, datetime

MISSING = "not known"
_UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def number(value: float | None) -> str:
    """12,345."""
    return MISSING if value is None else f"{value:,.0f}"


def decimal(value: float | None) -> str:
    """12,345 or 3.4: one digit where it says something."""
    return MISSING if value is None else f"{value:,.1f}" if abs(value) < 10 else f"{value:,.0f}"


def count(value: int, what: str, many: str = "") -> str:
    """1 guest, 2 guests."""
    plural = many or (f"{what[:-1]}ies" if what.endswith("y") and what[-2] not in "aeiou" else f"{what}s")
    return f"{value:,} {what if value == 1 else plural}"


def ms(seconds: float | None) -> str:
    """3.41 ms, 34.1 ms, 120 ms, 2.1 s: what is rounded is less than a bucket is wide."""
    if seconds is None:
        return MISSING
    if seconds >= 1:
        return f"{seconds:.1f} s"
    digits = 2 if seconds < 0.009_95 else 1 if seconds < 0.099_5 else 0
    return f"{seconds * 1_000:.{digits}f} ms"


def size(n_bytes: float | None) -> str:
    """512 B, 31 MiB."""
    if n_bytes is None:
        return MISSING
    for unit, name in _UNITS:
        if n_bytes >= unit:
            return f"{n_bytes / unit:,.0f} {name}"
    return f"{n_bytes:.0f} B"


def percent(share_of_one: float | None) -> str:
    """12 %."""
    return MISSING if share_of_one is None else f"{share_of_one * 100:.0f} %"


def share(part: int, whole: int) -> str:
    """none, 3 (0.2 %)."""
    if not part:
        return "none"
    shown = part / whole * 100
    return f"{part:,} ({shown:.1f} %)" if shown >= 0.1 else f"{part:,} (under 0.1 %)"


def span(seconds: float) -> str:
    """4 s, 3 min, 2 h 05 min, 3 days."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} min"
    if whole < 86_400:
        return f"{whole // 3_600} h {whole % 3_600 // 60:02} min"
    return f"{whole // 86_400} d"


def clock(at_s: float | None, now_s: float) -> str:
    """14:03:05 today, 25 Nov 14:03 otherwise; UTC."""
    if at_s is None:
        return MISSING
    at, now = datetime.fromtimestamp(at_s, UTC), datetime.fromtimestamp(now_s, UTC)
    return f"{at:%H:%M:%S}" if at.date() == now.date() else f"{at:%d %b %H:%M}"
