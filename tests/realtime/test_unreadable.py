"""Every message that cannot be read has an answer, and one whose id can be read has it as that one's."""

from __future__ import annotations

import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from realtime.messages import ID_MAX, decode_to_server, encode
from realtime.unreadable import HALVES, complaint

JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3))


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


def test_half_a_pair_of_characters_is_called_that_and_not_a_text_that_was_cut_off() -> None:
    text = rb'{"t":"publish","id":"a","kind":"chat.crew","data":{"text":"\ud83d"}}'
    try:
        decode_to_server(text)
    except msgspec.MsgspecError as error:
        said = complaint(text, error)
    assert (said.ref, said.message) == ("a", HALVES)
