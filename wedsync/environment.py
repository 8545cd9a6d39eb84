"""What the environment says about the project: read once, with types; one that cannot be right stops the start with a sentence.

`wedsync.settings` takes everything from here, and the settings of realtime from `realtime.config`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured
from msgspec import Meta, Struct

from realtime.config import RealtimeConfig, given
from realtime.redis_url import checked

Host = Annotated[str, Meta(pattern=r"^(\*|\.?[\w.-]+|\[[0-9a-fA-F:.]+\])$")]
"""A name, a number, with a dot before it all below it, or `*`: no scheme, no port, which are never compared."""
PLAIN = ("secret_key", "database_url", "history_database_url", "redis_url")
"""Without WEDSYNC_ before them, as everybody calls them; so are those of e-mail."""
DATABASE_FORM = "expected postgres://user:password@host:port/name (what is special in them as %..) or sqlite:///path"


class Project(Struct, frozen=True):
    """docs/configuration.md says what each is for. What is empty is as if it were not there."""

    secret_key: str = ""
    database_url: str = ""
    history_database_url: str = ""
    redis_url: str = ""
    allowed_hosts: tuple[Host, ...] = ("localhost", "127.0.0.1", "[::1]")
    https: bool = False
    metrics_token: str = ""
    email_host: str = "localhost"
    email_port: Annotated[int, Meta(ge=1, le=65_535)] = 25
    email_host_user: str = ""
    email_host_password: str = ""
    email_use_tls: bool = False
    default_from_email: str = "wedsync@localhost"
    log_level: Literal["CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG"] = "WARNING"
    debug: bool = False

    @staticmethod
    def variable(field: str) -> str:
        """Its name in the environment."""
        return field.upper() if field in PLAIN or "email" in field else f"WEDSYNC_{field.upper()}"


def environment(var_dir: Path) -> dict[str, str]:
    """`var/env` (NAME=value a line) below the process environment, so that commands need no variables of their own. Raises
    ImproperlyConfigured naming the file when it is there and cannot be read."""
    file = var_dir / "env"
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        lines = []
    except OSError as error:
        raise ImproperlyConfigured(f"{file}: it cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ImproperlyConfigured(f"{file}: it is no text in UTF-8") from None
    written = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    return written | dict(os.environ)


def settings_of(env: Mapping[str, str]) -> tuple[Project, RealtimeConfig]:
    """Raises ImproperlyConfigured naming the variable that is wrong."""
    try:
        project = Project(**given(Project, {name: text for name, text in env.items() if text}, Project.variable))  # type: ignore[arg-type]
        checked(project.redis_url)
        return project, RealtimeConfig.from_env(env)
    except ValueError as error:
        raise ImproperlyConfigured(str(error)) from None


def database(name: str, url: str, file: Path, backends: str) -> dict[str, object]:
    """A Django database from what the variable `name` says: `postgres://user:pw@host:port/name` (`?host=` for a socket
    directory) or `sqlite:///path`; nothing: the SQLite file. Raises ImproperlyConfigured, without the password, which may be
    what makes it wrong."""
    try:
        parts = urlsplit(url)
        host, port, path = parts.hostname or "", str(parts.port or ""), parts.path
    except ValueError:
        raise ImproperlyConfigured(f"{name}: {DATABASE_FORM}") from None
    if not url:
        return _sqlite("WEDSYNC_VAR", file, backends)
    if parts.scheme not in ("sqlite", "postgres", "postgresql") or not path.strip("/"):
        raise ImproperlyConfigured(f"{name}: {DATABASE_FORM}")
    if parts.scheme == "sqlite":
        return _sqlite(name, Path(path), backends)
    query = dict(pair.split("=", 1) for pair in parts.query.split("&") if "=" in pair)
    return {
        "ENGINE": "realtime.adapters.postgresql",
        "NAME": path.lstrip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(query.get("host", host)),
        "PORT": port,
        "CONN_MAX_AGE": 600,
        "CONN_HEALTH_CHECKS": True,
        # Of a machine that is gone: TCP alone would wait for a quarter of an hour.
        "OPTIONS": {
            "connect_timeout": 5,
            "tcp_user_timeout": 10_000,
            "keepalives_idle": 10,
            "keepalives_interval": 3,
            "keepalives_count": 3,
        },
    }


def _sqlite(name: str, file: Path, backends: str) -> dict[str, object]:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImproperlyConfigured(
            f"{name}: there is no folder {file.parent}, and none can be made: {error.strerror}"
        ) from None
    return {
        "ENGINE": f"{backends}.sqlite3",
        "NAME": str(file),
        # Kept open: opening the file and setting it up costs as much as a small commit.
        "CONN_MAX_AGE": None,
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 10,
            # FULL: an acknowledged publication survives a power cut, not only a crash of the process.
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
        },
        "TEST": {"NAME": str(file.with_name(f"test-{file.name}"))},
    }
