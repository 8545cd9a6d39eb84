"""What is measured, one module a row: `measure(start, folder, cores, quick)` runs one server once and gives its figures."""

from __future__ import annotations

from bench.rows import deflate, fanout, idle, megaroom, memory, reconnect
from bench.rows.base import Row

ROWS: dict[str, Row] = {row.name: row for row in (fanout.ROW, idle.ROW, megaroom.ROW, memory.ROW, deflate.ROW, reconnect.ROW)}
