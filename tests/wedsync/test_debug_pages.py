"""What a page about an error shows of the settings."""

from __future__ import annotations

from typing import Any

import pytest
from django.views.debug import get_exception_reporter_filter

from realtime.redis_url import layer_host

STARS = "*" * 20


@pytest.mark.parametrize("url", ["redis://:s3cret@h:1/0", "rediss://u:s3cret@h", "sentinel://u:s3cret@a:1,b:2/day"])
def test_a_login_in_the_address_of_redis_is_not_shown(url: str, settings: Any) -> None:
    settings.REDIS_URL = url
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "x", "CONFIG": {"hosts": [layer_host(url)]}}}
    settings.CACHES = {"default": {"BACKEND": "x", "LOCATION": [url]}}
    shown = get_exception_reporter_filter(None).get_safe_settings()
    assert "s3cret" not in repr([shown[name] for name in ("REDIS_URL", "CHANNEL_LAYERS", "CACHES")])
    assert shown["REDIS_URL"] == STARS and shown["CACHES"]["default"]["BACKEND"] == "x"


@pytest.mark.parametrize("url", ["", "redis://h:1/0", "static/", "wedsync@localhost"])
def test_what_holds_no_login_is_shown(url: str) -> None:
    assert get_exception_reporter_filter(None).cleanse_setting("REDIS_URL", url) == url
