"""Where the supervisor can be asked: a UNIX socket for this user alone; one JSON object a line, both ways."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

from realtime.fleet import processes
from realtime.fleet.passing import CONTROL_MAX_BYTES, Homes, size_of
from realtime.fleet.remote import uid_of
from realtime.fleet.supervisor import Supervisor

logger = logging.getLogger(__name__)

REQUEST_MAX_BYTES = 1 << 20
"""One line: more homes than fit into the message to the dispatcher, which says so."""


class Control:
    """Requests: {"do": "fleet"}, {"do": "deploy", "reason"}, {"do": "scale", "workers", "reason"}, {"do": "homes", "homes"}."""

    def __init__(self, supervisor: Supervisor, path: Path) -> None:
        self._supervisor = supervisor
        self._path = path
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        before = os.umask(0o177)  # 0600 from its first moment on
        try:
            self._server = await asyncio.start_unix_server(self._serve, self._path, limit=REQUEST_MAX_BYTES)
        finally:
            os.umask(before)
        return self

    async def __aexit__(self, *exception: object) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()

    def deploy_soon(self) -> None:
        """SIGHUP."""
        task = asyncio.ensure_future(self._deploy())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deploy(self) -> None:
        plan = self._supervisor.plan
        process = processes.start(plan.deploy, plan.env, cwd=plan.cwd)
        code = await asyncio.to_thread(process.wait)
        plan.log("all workers were replaced" if code == 0 else f"nothing was deployed (exit status {code})")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if uid_of(writer.get_extra_info("socket")) not in (os.getuid(), 0):
                return
            request = json.loads(await reader.readline())
            async for answer in self._answer(request):
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        except (OSError, ValueError) as error:  # who asked is gone, or did not speak our language
            logger.info("a request to the supervisor came to nothing: %s", error)
        finally:
            writer.close()

    async def _answer(self, request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        reason = str(request.get("reason") or "The operator asked for it.")
        match request.get("do"):
            case "fleet":
                yield self._supervisor.fleet()
            case "deploy":
                async for done in self._supervisor.deploy(reason):
                    yield done
            case "scale":
                async for done in self._supervisor.scale(int(request["workers"]), reason):
                    yield done
            case "homes":
                homes = {str(wedding): str(slot) for wedding, slot in request["homes"].items()}
                if (size := size_of(Homes(homes))) > CONTROL_MAX_BYTES:
                    yield {"done": False, "error": f"{len(homes)} homes have {size} bytes; {CONTROL_MAX_BYTES} can be told"}
                else:
                    yield {"done": self._supervisor.settle(homes)}
            case unknown:
                yield {"error": f"there is nothing like {unknown!r}"}
