"""What waits for a member that is behind."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from realtime.policy.outbox import FLEETING_MAX_BYTES, Outbox, Verdict

STREAM_MAX = 1_000


def texts(outbox: Outbox, about_bytes: int = 10**9) -> list[bytes]:
    return [waiting.text for waiting in outbox.take(about_bytes)]


def test_urgent_copies_go_first_then_the_stream_in_order_then_what_is_ephemeral() -> None:
    outbox = Outbox(STREAM_MAX)
    outbox.fleeting(b"reaction", None)
    outbox.fleeting(b"here", ("presence", "maya"))
    outbox.stream(b"chat 1")
    outbox.ahead(b"alert!")
    outbox.stream(b"alert 2")
    outbox.stream(b"chat 3")
    assert texts(outbox) == [b"alert!", b"chat 1", b"alert 2", b"chat 3", b"here", b"reaction"]
    assert not outbox and outbox.n_bytes == 0


def test_the_latest_of_a_key_wins() -> None:
    outbox = Outbox(STREAM_MAX)
    assert outbox.fleeting(b"here", ("presence", "maya")) is Verdict.QUEUED
    outbox.fleeting(b"typing", ("typing", "maya"))
    assert outbox.fleeting(b"gone", ("presence", "maya")) is Verdict.COALESCED
    assert texts(outbox) == [b"typing", b"gone"]


def test_the_oldest_reaction_makes_room_and_a_keyed_one_stays() -> None:
    outbox = Outbox(STREAM_MAX)
    outbox.fleeting(b"k" * 100, ("presence", "maya"))
    third = FLEETING_MAX_BYTES // 3
    verdicts = [outbox.fleeting(bytes([n]) * third, None) for n in range(4)]
    assert verdicts == [Verdict.QUEUED, Verdict.QUEUED, Verdict.SHED, Verdict.SHED]
    assert texts(outbox) == [b"k" * 100, bytes([2]) * third, bytes([3]) * third]


def test_a_stream_that_is_full_is_too_slow_and_takes_nothing_more() -> None:
    outbox = Outbox(STREAM_MAX)
    assert outbox.stream(b"x" * STREAM_MAX) is Verdict.QUEUED
    assert outbox.stream(b"y") is Verdict.TOO_SLOW
    assert texts(outbox) == [b"x" * STREAM_MAX]


def test_it_is_taken_in_portions() -> None:
    outbox = Outbox(STREAM_MAX)
    for n in range(5):
        outbox.stream(b"%d" % n * 10)
    assert [len(texts(outbox, 20)), len(texts(outbox, 15)), len(texts(outbox, 1)), len(texts(outbox, 1))] == [2, 2, 1, 0]


OFFERS = st.lists(
    st.one_of(
        st.tuples(st.just("stream"), st.integers(1, 400)),
        st.tuples(st.just("urgent"), st.integers(1, 400)),
        st.tuples(st.just("bulk"), st.integers(1, 30_000)),
        st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(1, 30_000)),
        st.tuples(st.just("take"), st.integers(1, 50_000)),
    ),
    max_size=60,
)


@given(OFFERS)
def test_it_never_exceeds_its_bounds_and_the_stream_keeps_everything_in_order(offers: list[tuple[str, int]]) -> None:
    outbox, admitted, sent = Outbox(STREAM_MAX), [], []
    for n, (what, size) in enumerate(offers):
        text = b"x" * size
        match what:
            case "take":
                sent += [waiting.tag for waiting in outbox.take(size)]
            case "stream":
                if outbox.stream(text, n) is Verdict.QUEUED:
                    admitted.append(n)
            case "urgent":
                outbox.ahead(text, None)
            case "bulk":
                outbox.fleeting(text, None, -n - 1)
            case key:
                outbox.fleeting(text, ("kind", key), -n - 1)
        assert 0 <= outbox.n_bytes <= STREAM_MAX + FLEETING_MAX_BYTES
    sent += [waiting.tag for waiting in outbox.take(10**9)]
    assert [tag for tag in sent if tag is not None and tag >= 0] == admitted
    assert outbox.n_bytes == 0 and not outbox
    fleeting = [tag for tag in sent if tag is not None and tag < 0]
    assert len(set(fleeting)) == len(fleeting)
