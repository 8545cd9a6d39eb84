"""The walls of the house: who may import whom, and how large a room may be."""

from __future__ import annotations

import ast
import contextlib
import re
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted(
    path
    for top in ("realtime", "wedsync", "monitoring")
    for path in (ROOT / top).rglob("*.py")
    if "migrations" not in path.parts
)
NAMES = [str(path.relative_to(ROOT)) for path in SOURCES]
VOCABULARY = {"roles", "kinds", "messages", "closing", "errors", "config", "clock", "report", "histogram"}
LINES_MAX = 400
FUNCTION_LINES_MAX = 40


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


@cache
def imports(path: Path) -> set[str]:
    """Full names of what the module imports, wherever in it. Relative imports are not used here."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def under(names: set[str], *prefixes: str) -> set[str]:
    return {name for name in names if any(name == p or name.startswith(f"{p}.") for p in prefixes)}


TWISTED = ("twisted", "autobahn", "daphne")
DJANGO = ("django", "channels", "asgiref")
DOORS = ("consumers", "intake", "inbox", "views", "publish", "credentials", "drills", "management")
VOCABULARY_ALLOWED = tuple(f"realtime.{name}" for name in VOCABULARY) + ("realtime.policy",)
RULES = [
    # (modules, that may not import, except)
    ("realtime", ("wedsync", "monitoring"), ("realtime.drills", "realtime.management.commands.drill")),
    (
        "realtime",
        TWISTED,
        tuple(
            f"realtime.adapters.{name}"
            for name in (
                "adopting",
                "daphne_server",
                "daphne_worker",
                "deflate",
                "prompt",
                "reactor",
                "resting",
                "rounds",
                "socket_wire",
            )
        ),
    ),
    ("wedsync", TWISTED, ()),
    ("realtime", ("realtime.adapters",), ("realtime.bootstrap", "realtime.adapters")),
    ("wedsync", ("realtime.adapters",), ()),
    *((f"realtime.{name}", DJANGO, ()) for name in sorted(VOCABULARY)),
    ("realtime.policy", DJANGO, ()),
    *(
        (f"realtime.{name}", DJANGO, ())
        for name in (
            "room",
            "frame",
            "deflate",
            "compression",
            "connection",
            "presence",
            "hub",
            "committer",
            "session",
            "state",
            "client",
        )
    ),
    *(
        (f"realtime.{name}", tuple(f"realtime.{door}" for door in DOORS), ())
        for name in ("hub", "journal", "committer", "room")
    ),
    ("wedsync.weddings.timeline", DJANGO + ("realtime",), ()),
    # What decides in monitoring: nothing of Django, and of ours at most the vocabulary.
    *(
        (f"monitoring.{name}", (*DJANGO, "realtime", "wedsync", "monitoring"), ())
        for name in ("alerts", "slo", "escalation", "readiness")
    ),
    *(
        (f"monitoring.{name}", (*DJANGO, "wedsync"), ())
        for name in (
            *("signals", "day_report", "wedding_minutes", "rollup", "samples", "plots", "figures", "metrics"),
            *(f"dashboard.{part}" for part in ("status", "windows", "watching", "building", "kind", "words", "rows", "shown")),
        )
    ),
]


@pytest.mark.parametrize(("who", "whom", "excepted"), RULES, ids=[f"{rule[0]} -> {rule[1][0]}" for rule in RULES])
def test_imports_go_one_way(who: str, whom: tuple[str, ...], excepted: tuple[str, ...]) -> None:
    breaches = {}
    for path in SOURCES:
        module = module_of(path)
        if under({module}, who) and not under({module}, *excepted) and (found := under(imports(path), *whom)):
            breaches[module] = sorted(found)
    assert breaches == {}


LEVEL_ONE = [n for n in NAMES if n.startswith("realtime/policy/") or n in {f"realtime/{name}.py" for name in VOCABULARY}]


@pytest.mark.parametrize("name", LEVEL_ONE)
def test_level_one_knows_nothing_above_it(name: str) -> None:
    ours = under(imports(ROOT / name), "realtime", "wedsync", "monitoring")
    assert ours == under(ours, *VOCABULARY_ALLOWED)


@pytest.mark.parametrize("name", NAMES)
def test_rooms_are_small(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert text.count("\n") <= LINES_MAX
    functions = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = {f.name: f.end_lineno - f.lineno + 1 for f in functions if f.end_lineno}
    assert {function: lines for function, lines in long.items() if lines > FUNCTION_LINES_MAX} == {}


def installed(names: set[str]) -> set[str]:
    """The distributions of these names, and those that they bring."""
    found: set[str] = set()
    while names:
        found |= names
        brought: set[str] = set()
        for name in names:
            with contextlib.suppress(PackageNotFoundError):  # not for this platform
                brought |= {plain(line) for line in requires(name) or () if "extra ==" not in line}
        names = brought - found
    return found


def plain(requirement: str) -> str:
    """The name in it, as packages are compared by (PEP 503)."""
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def test_what_runs_needs_only_what_is_pinned_for_it() -> None:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    there = installed({plain(line) for line in lines if "==" in line})
    providers = packages_distributions()
    wanted = {name.partition(".")[0]: path.name for path in SOURCES for name in imports(path)}
    foreign = wanted.keys() - {"realtime", "wedsync", "monitoring"} - sys.stdlib_module_names
    assert "msgspec" in foreign
    assert {f"{n} in {wanted[n]}" for n in foreign if not {plain(d) for d in providers.get(n, ())} & there} == set()
