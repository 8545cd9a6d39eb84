"""The proxy does what it is told to bytes, frames and replies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.drills.proxy import ChaosProxy, FrameStream, FrameTamper, RedisProxy, RespStream, reply_end, text_frame

UPGRADE = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"


@asynccontextmanager
async def echoing() -> AsyncIterator[int]:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(1_000):
                writer.write(chunk)
        except OSError:
            pass
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def says(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, text: bytes) -> bytes:
    writer.write(text)
    return await reader.readexactly(len(text))


async def test_forwards_and_forgets() -> None:
    async with echoing() as port, ChaosProxy("127.0.0.1", port) as proxy:
        reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
        assert await says(reader, writer, b"hello") == b"hello"
        assert proxy.connections == 1
        writer.close()


async def test_silence_holds_everything_back_until_it_is_over() -> None:
    async with echoing() as port, ChaosProxy("127.0.0.1", port) as proxy:
        reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
        await says(reader, writer, b"1")
        proxy.silent()
        later, new = await asyncio.open_connection(proxy.host, proxy.port)
        answers = [asyncio.create_task(says(reader, writer, b"2")), asyncio.create_task(says(later, new, b"3"))]
        done, _ = await asyncio.wait(answers, timeout=0.05)
        assert not done
        proxy.forward()
        assert await asyncio.gather(*answers) == [b"2", b"3"]
        writer.close()
        new.close()


async def test_cut_resets_and_the_next_connection_works() -> None:
    async with echoing() as port, ChaosProxy("127.0.0.1", port) as proxy:
        reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
        await says(reader, writer, b"1")
        proxy.cut()
        with pytest.raises(OSError):
            await reader.readexactly(1)
            await says(reader, writer, b"2")
        writer.transport.abort()
        reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
        assert await says(reader, writer, b"3") == b"3"
        writer.close()


async def test_refuses_the_new_and_keeps_the_old() -> None:
    async with echoing() as port, ChaosProxy("127.0.0.1", port) as proxy:
        reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
        await says(reader, writer, b"1")
        proxy.refuse()
        refused, new = await asyncio.open_connection(proxy.host, proxy.port)
        with pytest.raises((OSError, asyncio.IncompleteReadError)):
            await refused.readexactly(1)
        assert await says(reader, writer, b"2") == b"2"
        writer.close()
        new.transport.abort()


async def test_delay_keeps_the_order() -> None:
    async with echoing() as port, ChaosProxy("127.0.0.1", port) as proxy:
        proxy.delay(0.01)
        reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
        loop = asyncio.get_running_loop()
        before_s = loop.time()
        for n in range(20):
            writer.write(b"%02d" % n)
            await writer.drain()
        assert await reader.readexactly(40) == b"".join(b"%02d" % n for n in range(20))
        assert loop.time() - before_s >= 0.02
        writer.close()


def pub(n: int, kind: str = "chat.guests") -> bytes:
    return b'{"t":"pub","kind":"%b","id":"%d","offset":%d}' % (kind.encode(), n, n)


def welcome(member: str) -> bytes:
    return b'{"t":"welcome","room":"r","member":{"member":"%b","role":"guest"}}' % member.encode()


def through(stream: FrameStream, *texts: bytes) -> bytes:
    return stream.feed(b"".join(text_frame(text) for text in texts))


@pytest.mark.parametrize(
    ("fault", "expected"),
    [("drop", [1, 3, 4]), ("double", [1, 2, 2, 3, 4]), ("swap", [1, 3, 2, 4])],
)
def test_one_frame_is_spoiled(fault: str, expected: list[int]) -> None:
    tamper = FrameTamper(fault, "me")
    mine, other = tamper.stream(), tamper.stream()
    assert mine.feed(UPGRADE) + other.feed(UPGRADE) == 2 * UPGRADE
    through(mine, welcome("me"))
    through(other, welcome("you"))
    texts = [pub(n) for n in range(1, 5)]
    assert through(mine, *texts) == b"".join(text_frame(pub(n)) for n in expected)
    assert through(other, *texts) == b"".join(text_frame(text) for text in texts)
    assert tamper.done


def test_a_frame_for_another_is_leaked() -> None:
    tamper = FrameTamper("leak", "me", secret=b"chat.crew")
    mine, other = tamper.stream(), tamper.stream()
    for stream, member in ((mine, "me"), (other, "you")):
        stream.feed(UPGRADE)
        through(stream, welcome(member))
    through(other, pub(1, "chat.crew"))
    assert through(mine, pub(2), pub(3)) == text_frame(pub(2)) + text_frame(pub(3)) + text_frame(pub(1, "chat.crew"))


def test_an_unknown_fault_is_refused() -> None:
    with pytest.raises(ValueError, match="one of drop, double, swap, leak"):
        FrameTamper("burn", "me")


@given(st.lists(st.binary(max_size=300) | st.sampled_from([125, 126, 65_535, 65_536]).map(bytes), max_size=4), st.data())
def test_frames_survive_any_cut(payloads: list[bytes], data: st.DataObject) -> None:
    seen: list[bytes] = []
    stream = FrameStream(lambda _, text: seen.append(text) or [text], 1)  # type: ignore[func-returns-value]
    raw = UPGRADE + b"\x89\x01x" + b"".join(map(text_frame, payloads))
    cut = data.draw(st.integers(0, len(raw)))
    assert stream.feed(raw[:cut]) + stream.feed(raw[cut:]) == raw
    assert seen == payloads


REPLIES = [
    b"+OK\r\n",
    b":1\r\n",
    b"$-1\r\n",
    b"$5\r\nhello\r\n",
    b"*-1\r\n",
    b"*0\r\n",
    b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$4\r\na\r\nb\r\n",
    b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$6\r\nsecret\r\n",
    b"*2\r\n*1\r\n:1\r\n$0\r\n\r\n",
    b"%1\r\n+k\r\n*1\r\n:2\r\n",
    b"_\r\n",
]


@given(st.lists(st.sampled_from(REPLIES), max_size=8), st.integers(0, 200))
def test_replies_survive_any_cut(replies: list[bytes], cut: int) -> None:
    kept: list[bytes] = []
    stream = RespStream(lambda reply: kept.append(reply) is None)
    raw = b"".join(replies)
    assert stream.feed(raw[:cut]) + stream.feed(raw[cut:]) == raw
    assert kept == replies


def test_an_incomplete_reply_has_no_end() -> None:
    for reply in REPLIES:
        assert reply_end(reply, 0) == len(reply)
        assert all(reply_end(reply[:cut], 0) is None for cut in range(len(reply)))


async def test_redis_swallows_what_is_marked_and_nothing_else() -> None:
    async with echoing() as port, RedisProxy("127.0.0.1", port) as proxy:
        proxy.swallow.add(b"secret")
        reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
        writer.write(b"".join(REPLIES) + b"$6\r\nsecret\r\n")
        expected = b"".join(reply for reply in REPLIES if b"secret" not in reply) + b"$6\r\nsecret\r\n"
        assert await reader.readexactly(len(expected)) == expected
        assert proxy.swallowed == 1
        writer.close()


async def test_a_network_between_has_its_say_about_each_direction_and_keeps_the_order() -> None:
    asked: list[int] = []

    class Slow:
        def arrival_s(self, now_s: float, n_bytes: int) -> float:
            asked.append(n_bytes)
            return now_s + 0.01

    async with echoing() as port, ChaosProxy("127.0.0.1", port, way=Slow) as proxy:
        reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
        for n in range(3):
            assert await says(reader, writer, b"%d" % n * 10) == b"%d" % n * 10
        writer.close()
    assert asked == [10] * 6, "three times there and back"
