"""A server that can be measured: where it is, and how the load generator speaks to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct


def no_header(room: str, number: int) -> str:
    """For servers that let everybody in."""
    return ""


class Speech(Struct, frozen=True):
    """How to join and publish.

    `path` with `{room}`; `live` begins the text that says one has joined (empty: the upgrade does), `error`
    what refuses a publication; `before` and `after`
    enclose the marked data in what is sent; `wrap_bytes` is what a delivered text has beside the data.
    """

    path: str
    live: str = ""
    error: str = ""
    hello: tuple[str, ...] = ()
    before: str = ""
    after: str = ""
    wrap_bytes: int = 0
    engine_io: bool = False
    ping: str = ""
    ping_s: float = 0.0
    resume: bool = False


class Target(Struct, frozen=True):
    """A running server. `ports`: rooms are spread over them in turn. `workers`: pids whose CPU counts; `helpers`: its Redis."""

    name: str
    ports: Sequence[int]
    workers: Sequence[int]
    speech: Speech
    helpers: Sequence[int] = ()
    header: Callable[[str, int], str] = no_header
