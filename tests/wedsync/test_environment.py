"""What an operator wrote into the environment: read with types, or refused with a sentence that names it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st

from tests.processes import ROOT
from wedsync.environment import Project, database, environment, settings_of


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("WEDSYNC_HTTPS", "1", "https", True),
        ("WEDSYNC_HTTPS", "true", "https", True),
        ("WEDSYNC_HTTPS", "True", "https", True),
        ("WEDSYNC_HTTPS", "0", "https", False),
        ("WEDSYNC_HTTPS", "", "https", False),
        ("EMAIL_USE_TLS", "true", "email_use_tls", True),
        ("WEDSYNC_DEBUG", "true", "debug", True),
        ("EMAIL_PORT", "587", "email_port", 587),
        ("EMAIL_PORT", "", "email_port", 25),
        ("SECRET_KEY", "s", "secret_key", "s"),
        ("DEFAULT_FROM_EMAIL", "a@b", "default_from_email", "a@b"),
        ("WEDSYNC_METRICS_TOKEN", "123", "metrics_token", "123"),
        ("WEDSYNC_ALLOWED_HOSTS", " a.example.com, 10.0.0.1 ,,[::1], .b.example.com,*", "allowed_hosts",
         ("a.example.com", "10.0.0.1", "[::1]", ".b.example.com", "*")),
    ],
)  # fmt: skip
def test_what_is_written_is_read(name: str, text: str, field: str, value: object) -> None:
    assert getattr(settings_of({name: text})[0], field) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("WEDSYNC_HTTPS", "yes"),
        ("WEDSYNC_HTTPS", "on"),
        ("EMAIL_USE_TLS", "2"),
        ("WEDSYNC_DEBUG", "maybe"),
        ("EMAIL_PORT", "abc"),
        ("EMAIL_PORT", "0"),
        ("EMAIL_PORT", "65536"),
        ("WEDSYNC_LOG_LEVEL", "loud"),
        ("WEDSYNC_ALLOWED_HOSTS", "https://wedsync.example.com"),
        ("WEDSYNC_ALLOWED_HOSTS", "wedsync.example.com:443"),
        ("WEDSYNC_ORIGINS", "wedsync.example.com"),
        ("WEDSYNC_LOAD_TESTING", "yes"),
        ("WEDSYNC_HEARTBEAT_S", "-1"),
    ],
)
def test_what_cannot_be_right_is_named_with_what_it_is(name: str, text: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=re.escape(f"{name}={text!r}: ")):
        settings_of({name: text})


@pytest.mark.parametrize(
    "url",
    ["http://x", "x", "redis://h:abc/0", "redis://:pa/s3cret@h", "sentinel://", "sentinel://h:x", "redis://[::1/0",
     "sentinel://default:s3cret/Pa@s1:26379", "sentinel://default:s3cret#Pa@s1",
     "sentinel://u:p@s1:s3cret"],
)  # fmt: skip
def test_a_redis_that_is_none_is_named_without_its_password(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="^REDIS_URL: expected") as told:
        settings_of({"REDIS_URL": url})
    assert "s3cret" not in str(told.value)


@pytest.mark.parametrize(
    "url", ["", "redis://h", "rediss://u:p@h:1/2", "unix:///run/r.sock?db=1", "sentinel://a:1,b/mymaster/2"]
)
def test_every_sort_of_redis_is_taken(url: str) -> None:
    assert settings_of({"REDIS_URL": url})[0].redis_url == url


DATABASES = ("DATABASE_URL", "HISTORY_DATABASE_URL")


@pytest.mark.parametrize("name", DATABASES)
@pytest.mark.parametrize(
    "url",
    ["mysql://h/x", "postgres://u:s3cret@h:abc/x", "postgres://u:s3cret@h", "postgres://u:s3cret#x@h/x", "postgres://[::1/x",
     "sqlite://", "var/x.sqlite3"],
)  # fmt: skip
def test_a_database_that_is_none_is_named_without_its_password(name: str, url: str, tmp_path: Path) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"^{name}: expected postgres://") as told:
        database(name, url, tmp_path / "x", "django.db.backends")
    assert "s3cret" not in str(told.value)


@pytest.mark.parametrize(
    ("url", "read"),
    [
        ("postgres://u:p%40@h:5433/n", ("n", "u", "p@", "h", "5433")),
        ("postgresql:///n?host=/run/pg", ("n", "", "", "/run/pg", "")),
    ],
)
def test_a_postgresql_is_read(url: str, read: tuple[str, ...], tmp_path: Path) -> None:
    found: dict[str, Any] = database("DATABASE_URL", url, tmp_path / "x", "django.db.backends")
    assert tuple(found[key] for key in ("NAME", "USER", "PASSWORD", "HOST", "PORT")) == read


def test_a_file_is_where_it_is_said_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert database("DATABASE_URL", "", Path("var") / "x #1.sqlite3", "b")["NAME"] == "var/x #1.sqlite3"
    assert database("DATABASE_URL", f"sqlite://{tmp_path}/new/y.sqlite3", Path("x"), "b")["NAME"] == f"{tmp_path}/new/y.sqlite3"
    assert (tmp_path / "var").is_dir() and (tmp_path / "new").is_dir()
    (tmp_path / "taken").touch()
    with pytest.raises(ImproperlyConfigured, match="^WEDSYNC_VAR: there is no folder taken/var, and none can be made: Not a"):
        database("DATABASE_URL", "", Path("taken/var/x"), "b")


@given(st.sampled_from([Project.variable(field) for field in Project.__struct_fields__]), st.text(min_size=1))
def test_whatever_is_written_is_read_or_named(name: str, text: str) -> None:
    try:
        project, _ = settings_of({name: text})
        for variable, url in zip(DATABASES, (project.database_url, project.history_database_url), strict=True):
            if not url.startswith("sqlite"):
                database(variable, url, Path("x"), "b")
    except ImproperlyConfigured as told:
        assert name in str(told)  # noqa: PT017


def test_the_file_is_below_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "env").write_text("# of here\nA_OF_TEST=file\nB_OF_TEST=file=1\n")
    monkeypatch.setenv("A_OF_TEST", "environment")
    found = environment(tmp_path)
    assert (found["A_OF_TEST"], found["B_OF_TEST"]) == ("environment", "file=1")
    assert environment(tmp_path / "none")["A_OF_TEST"] == "environment"


@pytest.mark.parametrize(
    ("make", "why"),
    [
        pytest.param(lambda file: file.mkdir(), "it cannot be read: Is a directory", id="unreadable"),
        pytest.param(lambda file: file.write_bytes(b"SECRET_KEY=\xff"), "it is no text in UTF-8", id="encoding"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(make: Callable[[Path], None], why: str, tmp_path: Path) -> None:
    make(tmp_path / "env")
    with pytest.raises(ImproperlyConfigured, match=f"^{tmp_path}/env: {why}$"):
        environment(tmp_path)


def test_every_setting_of_the_project_is_documented() -> None:
    text = (ROOT / "docs/configuration.md").read_text(encoding="utf-8").partition("## Realtime")[0]
    documented = set(re.findall(r"`([A-Z_]+)`", text))
    assert {Project.variable(field) for field in Project.__struct_fields__} <= documented


@pytest.mark.parametrize("command", ["serve", "migrate"])
def test_a_command_ends_with_the_sentence_and_nothing_else(command: str, tmp_path: Path) -> None:
    env = os.environ | {"EMAIL_PORT": "abc", "WEDSYNC_VAR": str(tmp_path)}
    done = subprocess.run([sys.executable, "manage.py", command], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"manage\.py: EMAIL_PORT='abc': Expected `int`[^\n]*\n", done.stderr)
