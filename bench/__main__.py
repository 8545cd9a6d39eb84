"""`script/bench`: measure WedSync Realtime beside other servers on this machine."""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import sys
import tempfile
from pathlib import Path
from typing import BinaryIO, NoReturn

ROWS_HELP = {
    "fanout": "50 rooms of 100: deliveries per CPU-second at the highest rate with p99 < 100 ms; p99 at 100,000/s",
    "idle10k": "10,000 connections, 5,000 deliveries/s: latency, and CPU of each with heartbeats",
    "megaroom": "one room of 5,000: when the last member has a message, and whether another room waits",
    "stall": "4,000 idle connections opened together: the longest wait of an echo",
    "reconnect": "10,000 members come back at once with ticket and position, to a fleet of two workers",
    "memory": "worker RSS of an idle connection",
    "deflate": "1 KB of JSON: bytes and CPU with permessage-deflate against without",
    "june-x10": "a Saturday in June times ten against PostgreSQL: P0 and P1 p99",
    "june-100k": "only when asked for: a Saturday with 100,000 people on seven workers (--quick: 20,000 on two)",
}
EPILOG = """
The server is pinned to one core, the load to another; every figure is the median of --runs (stall is measured once, of plain
Channels all but fanout). One table in Markdown goes to standard output, progress to standard error. What is missing for a peer
is named, with the way to get it, and the others go on:
  nchan: apt-get install nginx libnginx-mod-nchan     ws, socketio: apt-get install nodejs npm
  channels-core, channels-pubsub: apt-get install redis-server     june-x10, june-100k: apt-get install postgresql
Everything runs on loopback. All rows with all peers take about an hour, --quick some ten minutes.

  script/bench fanout --peers wedsync,nchan
  script/bench --quick --json bench.json
"""


def options() -> argparse.Namespace:
    """What was asked for."""
    rows = "\n".join(f"  {name:<10} {about}" for name, about in ROWS_HELP.items())
    parser = argparse.ArgumentParser(
        prog="script/bench",
        description=f"{__doc__}\n\nrows (default: all)\n{rows}",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("rows", nargs="*", metavar="ROW", help="one of the rows above")
    parser.add_argument("--peers", metavar="A,B", help="servers to measure, separated by commas (default: all)")
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="runs of which the median counts (default 3)")
    parser.add_argument("--quick", action="store_true", help="one short run of each: to see that it works, not to quote")
    parser.add_argument("--json", metavar="FILE", help="write every single measurement there")
    asked = parser.parse_args()
    if unknown := [row for row in asked.rows if row not in ROWS_HELP]:
        parser.error(f"there is no row {unknown[0]}; one of {', '.join(ROWS_HELP)}")
    if asked.runs < 1:
        parser.error("--runs must be at least 1")
    return asked


def set_up(var: str) -> None:
    """Django with a key of this run and without anything of an installation here."""
    os.environ |= {"DJANGO_SETTINGS_MODULE": "wedsync.settings", "SECRET_KEY": secrets.token_hex(), "WEDSYNC_LOAD_TESTING": "1"}
    os.environ["WEDSYNC_VAR"] = var
    import django

    django.setup()


def refuse(why: str) -> NoReturn:
    """End as for an option that is not known."""
    sys.stderr.write(f"script/bench: {why}\n")
    sys.exit(2)


def opened(name: str | None) -> BinaryIO | None:
    """The file for what is measured, before an hour is spent on it."""
    try:
        return Path(name).open("wb") if name else None
    except OSError as error:
        refuse(f"--json {name}: {error.strerror}")


def interrupt(*_: object) -> None:
    """SIGTERM ends like Ctrl-C: the servers are stopped, and what was measured is printed."""
    raise KeyboardInterrupt


def main() -> None:
    """Measure and print."""
    asked = options()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    with tempfile.TemporaryDirectory(prefix="wedsync-bench-") as var:
        set_up(var)
        from bench.bench import Bench
        from bench.machine import CannotMeasure
        from bench.peers import MISSING, PEERS
        from bench.report import as_json, machine, markdown
        from bench.rows import ONLY_WHEN_ASKED, ROWS
        from realtime.clock import SystemClock

        clock = SystemClock()
        peers = asked.peers.split(",") if asked.peers else list(PEERS)
        if unknown := [peer for peer in peers if peer not in PEERS]:
            refuse(f"there is no peer {unknown[0]}; one of {', '.join(PEERS)}")
        kept = opened(asked.json)
        bench = Bench(peers, asked.runs, asked.quick, lambda text: print(text, file=sys.stderr, flush=True))  # noqa: T201
        about = machine() | {"runs": bench.runs, "quick": asked.quick, "peers": peers}
        bench.begin("peers")
        for peer in list(peers):
            if hint := MISSING.get(peer, str)():
                bench.note(f"{peer} is left out: {hint}")
                peers.remove(peer)
        try:
            os.sched_setaffinity(0, {bench.load_core})
            for row in asked.rows or [row for row in ROWS if row not in ONLY_WHEN_ASKED]:
                bench.begin(row)
                began_s = clock.monotonic()
                ROWS[row](bench)
                bench.say(f"{row}: took {(clock.monotonic() - began_s) / 60:.1f} min")
        except CannotMeasure as error:
            raise SystemExit(f"script/bench: {error}") from None
        except KeyboardInterrupt:
            bench.note("interrupted")
        finally:
            sys.stdout.write(markdown(bench.outcome, peers))
            if kept is not None:
                with kept:
                    kept.write(as_json(bench.outcome, about))


if __name__ == "__main__":
    main()
