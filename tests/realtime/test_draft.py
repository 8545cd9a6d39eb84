"""An id is taken when the wire would take it, whoever gives it."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from realtime.config import RealtimeConfig
from realtime.draft import draft
from realtime.errors import Invalid
from realtime.messages import Id


@given(st.one_of(st.text(max_size=70), st.text("ab!~", min_size=60, max_size=70)))
@example("a\n")
@example("\u0660")
def test_it_is_what_the_wire_takes(id: str) -> None:
    taken = False
    with contextlib.suppress(msgspec.ValidationError):
        taken = bool(msgspec.convert(id, Id)) if id else True
    if taken:
        assert draft(RealtimeConfig(), "rose", "reaction", {"target": "cake", "emoji": "heart"}, id=id).id == id or not id
    else:
        with pytest.raises(Invalid, match="^id: "):
            draft(RealtimeConfig(), "rose", "reaction", {"target": "cake", "emoji": "heart"}, id=id)
