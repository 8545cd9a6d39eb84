"""What a program can be told to go to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.addresses import is_address


@pytest.mark.parametrize(
    "url", ["http://localhost", "http://127.0.0.1:8000/a?b=c", "http://[::1]:1/", "http://alertmanager:9093"]
)
def test_good_ones(url: str) -> None:
    assert is_address(url, "http", "https") and not is_address(url, "ws")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "http://",
        "http://[::1",
        "http://a..b",
        "http://h:0",
        "http://h:99999",
        "http://h:x",
        "http://a b/",
        "http://h/\n",
    ],
)
def test_bad_ones(url: str) -> None:
    assert not is_address(url, "http", "https")


@given(st.text(max_size=40))
def test_whatever_is_typed_it_is_one_or_not(text: str) -> None:
    assert is_address(f"http://{text}", "http") in (True, False)
