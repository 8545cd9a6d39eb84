"""Settings of the project. Values come from the environment or from `var/env`, which `script/server` writes once."""

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from django.templatetags.static import static

from realtime.config import RealtimeConfig
from realtime.redis_url import CachePool, layer_host

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = Path(os.environ.get("WEDSYNC_VAR", BASE_DIR / "var"))


def _environment() -> dict[str, str]:
    """`var/env` (NAME=value a line) below the process environment, so that commands need no variables of their own."""
    try:
        lines = (VAR_DIR / "env").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        lines = []
    written = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    return written | dict(os.environ)


def _database(url: str, default_file: str) -> dict[str, object]:
    """A Django database from `postgres://user:pw@host:port/name` (`?host=` for a socket directory) or a SQLite file."""
    parts = urlsplit(url or f"sqlite:///{VAR_DIR / default_file}")
    if parts.scheme == "sqlite":
        Path(parts.path).parent.mkdir(parents=True, exist_ok=True)
        return {
            "ENGINE": f"{DATABASE_BACKENDS}.sqlite3",
            "NAME": parts.path,
            # Kept open: opening the file and setting it up costs as much as a small commit.
            "CONN_MAX_AGE": None,
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "timeout": 10,
                # FULL: an acknowledged publication survives a power cut, not only a crash of the process.
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
            },
            "TEST": {"NAME": str(VAR_DIR / f"test-{default_file}")},
        }
    if parts.scheme not in ("postgres", "postgresql"):
        raise ValueError(f"DATABASE_URL: {parts.scheme!r} is not supported; use postgres://... or sqlite:///path")
    query = dict(pair.split("=", 1) for pair in parts.query.split("&") if "=" in pair)
    return {
        "ENGINE": "realtime.adapters.postgresql",
        "NAME": parts.path.lstrip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(query.get("host", parts.hostname or "")),
        "PORT": str(parts.port or ""),
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


ENV = _environment()
# The web process of a fleet counts its calls of the databases for /metrics. Workers do not: each cursor costs a new class.
DATABASE_BACKENDS = "django_prometheus.db.backends" if ENV.get("WEDSYNC_SLOT") == "web" else "django.db.backends"
DEBUG = ENV.get("WEDSYNC_DEBUG", "") == "1"
HTTPS = ENV.get("WEDSYNC_HTTPS", "") == "1"
SECRET_KEY = ENV.get("SECRET_KEY", "insecure-only-for-tests-and-debug" if DEBUG else "")
ALLOWED_HOSTS = ENV.get("WEDSYNC_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]").split(",")
CSRF_TRUSTED_ORIGINS = [o for o in ENV.get("WEDSYNC_ORIGINS", "").split(",") if o]

INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_prometheus",
    "channels",
    "realtime",
    "wedsync.weddings",
    "monitoring",
]
MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    # Pages and scripts at a fifth of their size; Django pads what it compresses against guessing of secrets (BREACH).
    "django.middleware.gzip.GZipMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "wedsync.middleware.NamedHostMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]
ROOT_URLCONF = "wedsync.urls"
ASGI_APPLICATION = "wedsync.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

DATABASES = {
    "default": _database(ENV.get("DATABASE_URL", ""), "wedsync.sqlite3"),
    # What monitoring writes, apart from the journal: prune and roll-ups must not hold its lock.
    "history": _database(ENV.get("HISTORY_DATABASE_URL", ""), "history.sqlite3"),
}
DATABASE_ROUTERS = ["monitoring.router.HistoryRouter"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
REDIS_URL = ENV.get("REDIS_URL", "")
if REDIS_URL:
    CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "realtime.adapters.redis_layer.PipelinedLayer",
            "CONFIG": {"hosts": [layer_host(REDIS_URL)]},
        }
    }
    CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": [REDIS_URL],
            "OPTIONS": {"pool_class": CachePool},
        }
    }
else:
    CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
            # Used tickets: one that is forgotten while it is good (eleven minutes) works again. Enough for a hundred newcomers
            # a second, in 28 MB at the most.
            "OPTIONS": {"MAX_ENTRIES": 100_000},
        }
    }

REALTIME = RealtimeConfig.from_env(ENV)
# Who scrapes /metrics sends it as a bearer token; empty: open to all who reach it.
METRICS_TOKEN = ENV.get("WEDSYNC_METRICS_TOKEN", "")

UNFOLD = {
    "SITE_TITLE": "WedSync",
    "SITE_HEADER": "WedSync",
    "SITE_SUBHEADER": "Operations",
    "SITE_SYMBOL": "favorite",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("monitoring/icon.svg")}],
    "DASHBOARD_CALLBACK": "monitoring.dashboard.views.landing",
    "SIDEBAR": {"navigation": "monitoring.dashboard.navigation.sidebar"},
    # The wine red of the pages of the weddings.
    "COLORS": {
        "primary": {
            "50": "#fdf3f6", "100": "#fae6ec", "200": "#f4ccd8", "300": "#eaa5b9", "400": "#e694ac", "500": "#e07f9b",
            "600": "#a63d5f", "700": "#8b2f4e", "800": "#712640", "900": "#5c2036", "950": "#360f1e",
        }
    },
}  # fmt: skip

# How alerts leave by e-mail.
EMAIL_HOST = ENV.get("EMAIL_HOST", "localhost")
EMAIL_PORT = int(ENV.get("EMAIL_PORT", "25"))
EMAIL_HOST_USER = ENV.get("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = ENV.get("EMAIL_HOST_PASSWORD", "")
EMAIL_USE_TLS = ENV.get("EMAIL_USE_TLS", "") == "1"
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = ENV.get("DEFAULT_FROM_EMAIL", "wedsync@localhost")

AUTH_PASSWORD_VALIDATORS = [{"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"}]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/"
LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True
STATIC_URL = "static/"
# Serve straight from the apps, so that plain `daphne` needs no collectstatic.
WHITENOISE_USE_FINDERS = True
SECURE_CONTENT_TYPE_NOSNIFF = True
SESSION_ENGINE = "wedsync.sessions"
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
# TLS ends at a proxy, which alone knows how somebody came. Without it a form's `Origin: https://...` is another site's.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": ENV.get("WEDSYNC_LOG_LEVEL", "WARNING")},
    "loggers": {name: {"level": "INFO"} for name in ("realtime", "wedsync", "monitoring")},
}
