"""Every message that cannot be read has an answer, and one whose id can be read has it as that one's."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.messages import ID_MAX, Error, decode_to_server, encode
from realtime.unreadable import HALVES, complaint

JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3))


def refused(text: str) -> Error:
    with pytest.raises(msgspec.MsgspecError) as error:
        decode_to_server(text.encode())
    return complaint(text.encode(), error.value)


@given(st.dictionaries(st.sampled_from(["t", "id", "kind", "data", "expires_at", "x"]), JSON, max_size=6), st.booleans())
def test_whatever_comes_the_answer_can_be_sent(message: dict[str, object], decoded: bool) -> None:
    text = json.dumps(message)
    said = complaint(text if decoded else text.encode(), ValueError("x"))
    assert msgspec.json.decode(encode(said))["code"] == "malformed"
    id = message.get("id")
    plain = isinstance(id, str) and len(id) <= ID_MAX and id.isprintable()
    assert said.ref == (id if plain else "")


@given(st.binary(max_size=50))
def test_noise_has_an_answer_too(noise: bytes) -> None:
    try:
        decode_to_server(noise)
    except msgspec.MsgspecError as error:
        assert complaint(noise, error).code == "malformed"


def test_a_whole_pair_is_not_to_blame_for_something_else() -> None:
    said = refused(json.dumps({"t": "publish", "id": "a", "kind": "chat.crew", "data": {"text": "hi 😀"}, "colour": 1}))
    assert (said.ref, said.field) == ("a", "colour") and said.message != HALVES
    said = refused(r'{"t":"publish","id":"a","kind":"chat.crew","data":{"text":"\\ud83d"},"colour":1}')
    assert said.field == "colour", "a backslash, and no half"


def test_half_a_pair_of_characters_is_called_that_and_not_a_text_that_was_cut_off() -> None:
    said = refused(r'{"t":"publish","id":"a","kind":"chat.crew","data":{"text":"\ud83d"}}')
    assert (said.ref, said.message) == ("a", HALVES)
