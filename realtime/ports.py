"""What realtime needs from the outside. Only Protocols with two adapters or more (the memory one counts)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from msgspec import Struct

from realtime.kinds import Kind
from realtime.messages import Sender
from realtime.policy.balancing import Server
from realtime.report import AnyOrder, WorkerReport
from realtime.revoked import Revoked


class Effect(Struct, frozen=True):
    """One entry that a command leaves in the journal. The first is the request's own: its kind and data stay as published."""

    audience: int
    result: bytes = b""
    kind: str = ""
    data: bytes = b""


class Domain(Protocol):
    """The state that commands act on. Methods are synchronous and run in a thread with a database connection."""

    def act(self, room: str, kind: Kind, data: Struct, sender: Sender) -> list[Effect]:
        """Carry out a command inside the writer's transaction (in a savepoint). Raises `Refused` and then changes nothing."""

    def items(self, room: str, view: int) -> list[dict[str, Any]]:
        """The run sheet as this view may see it, in order of start; what a snapshot carries."""

    def member(self, room: str, user: Any, session: Any) -> Sender | None:
        """Who this Django user or session is in this room, None for nobody."""

    def link(self, room: str, user: Any, session: Any) -> str:
        """The name of the join link that somebody is in this room by; "" for who is there by account."""

    def revoked(self) -> Revoked:
        """Who may no longer come in, whatever ticket they hold. Equal to the last answer when nothing is new; asked every
        second. Raises JournalUnavailable."""

    def today(self, now: datetime) -> set[str]:
        """The weddings that have their day now: they are let in before all others. Asked every minute."""

    def token(self, room: str, token: str) -> Sender | None:
        """Who publishes with this API token, None when it is not one of this room."""


class Mailbox(Protocol):
    """Carries messages between the processes that hold members of a room. At most once, in no promised order."""

    healthy: bool | None
    """Whether the last call of the layer worked; None where there are no other processes."""
    sick_s: float
    """When something was lost here last, a call or what did not fit into the queue; monotonic, minus infinity: never."""

    async def subscribe(self, room: str) -> None:
        """From now on what others send to `room` arrives. Never raises: a sick layer is the reconciliation's business."""

    async def unsubscribe(self, room: str) -> None:
        """Nobody of this room is here any more."""

    def send(self, room: str, parcels: Iterable[bytes]) -> None:
        """Hand on without waiting. What does not fit into the bounded queue is dropped and counted."""

    async def renew(self) -> None:
        """What others send does not arrive although sending works: let go of the subscriptions and make new ones."""

    async def start(self, receive: Any) -> None:
        """Begin; `receive(room, parcel: bytes)` is called on the loop for each parcel of another process."""

    async def stop(self) -> None:
        """End all tasks."""


class Registry(Protocol):
    """What the processes of a fleet know of each other: reports with a time to live, orders, a lease, a board of notes.

    Methods raise `RegistryUnavailable`; who reads it then goes on with what it knows and says so.
    """

    async def report(self, report: WorkerReport) -> list[AnyOrder]:
        """Leave this worker's report for `REPORT_TTL_S`; take the orders that wait for it."""

    async def reports(self) -> list[WorkerReport]:
        """Those that have not run out, by slot."""

    async def order(self, worker: str, order: AnyOrder) -> None:
        """Leave an order for `worker`; it runs out when nobody takes it."""

    async def hold(self, lease: str, holder: str, ttl_s: float) -> bool:
        """Take or renew `lease`. False: somebody else holds it."""

    async def release(self, lease: str, holder: str) -> None:
        """Give it back, when `holder` has it."""

    async def note(self, name: str, content: bytes, ttl_s: float) -> None:
        """Put something where all processes can read it (the state of the fleet, a pin, an override)."""

    async def read(self, name: str) -> bytes | None:
        """What was noted, None when it has run out."""

    async def stop(self) -> None:
        """Let go of its connections."""


class Workers(Protocol):
    """What starts and stops workers: the supervisor of a machine, Kubernetes."""

    def count(self) -> int | None:
        """How many there should be now; None when only those that report, and what was ordered last, are known."""

    async def set_count(self, n: int, reason: str) -> None:
        """See to it that there are `n`. Asked again and again: the same number changes nothing. Raises OSError when that is not
        begun now."""


class Front(Protocol):
    """What new sockets meet first: the dispatcher of a machine, HAProxy.

    `hashes_alike`: whether it hashes weddings as `place` does; another one has to be told where each wedding is at home.
    """

    hashes_alike: bool

    async def arrange(self, servers: Sequence[Server], homes: Mapping[str, str]) -> None:
        """These are the workers, with their weights, and {wedding: slot} of those that are not where their hash says,
        or of all that are known.

        Asked every few seconds; what is as it should be stays untouched. Raises OSError when it cannot be reached.
        """
