"""Settings of the project. Values come from the environment or from `var/env`, which `script/server` writes once."""

import os
from pathlib import Path

from django.templatetags.static import static

from realtime.redis_url import CachePool, layer_host
from wedsync.environment import database, environment, settings_of

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = Path(os.environ.get("WEDSYNC_VAR", BASE_DIR / "var"))

# Not a setting itself: a debug page shows those, and its fields are secrets.
_project, REALTIME = settings_of(environment(VAR_DIR))
# The web process of a fleet counts its calls of the databases for /metrics. Workers do not: each cursor costs a new class.
DATABASE_BACKENDS = "django_prometheus.db.backends" if REALTIME.slot == "web" else "django.db.backends"
DEBUG = _project.debug
SECRET_KEY = _project.secret_key or ("insecure-only-for-tests-and-debug" if DEBUG else "")
ALLOWED_HOSTS = list(_project.allowed_hosts)
CSRF_TRUSTED_ORIGINS = list(REALTIME.origins)

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
    "default": database("DATABASE_URL", _project.database_url, VAR_DIR / "wedsync.sqlite3", DATABASE_BACKENDS),
    # What monitoring writes, apart from the journal: prune and roll-ups must not hold its lock.
    "history": database("HISTORY_DATABASE_URL", _project.history_database_url, VAR_DIR / "history.sqlite3", DATABASE_BACKENDS),
}
DATABASE_ROUTERS = ["monitoring.router.HistoryRouter"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
REDIS_URL = _project.redis_url
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

# Who scrapes /metrics sends it as a bearer token; empty: open to all who reach it.
METRICS_TOKEN = _project.metrics_token

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
EMAIL_BACKEND = "monitoring.mail.EmailBackend"
EMAIL_HOST = _project.email_host
EMAIL_PORT = _project.email_port
EMAIL_HOST_USER = _project.email_host_user
EMAIL_HOST_PASSWORD = _project.email_host_password
EMAIL_USE_TLS = _project.email_use_tls
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = _project.default_from_email

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
# Of the admin: a table that is too large has a sentence of its own, and 20,000 weddings may be deleted together.
DATA_UPLOAD_MAX_MEMORY_SIZE, DATA_UPLOAD_MAX_NUMBER_FIELDS = 5_000_000, 25_000
SESSION_ENGINE = "wedsync.sessions"
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _project.https
# TLS ends at a proxy, which alone knows how somebody came. Without it a form's `Origin: https://...` is another site's.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if _project.https else None

DEFAULT_EXCEPTION_REPORTER_FILTER = "wedsync.debug_pages.AddressFilter"
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": _project.log_level},
    "loggers": {name: {"level": "INFO"} for name in ("realtime", "wedsync", "monitoring")},
}
