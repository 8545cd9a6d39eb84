"""Our inflater as autobahn sees a compression."""

from __future__ import annotations

from autobahn.exception import PayloadCorruptError, PayloadExceededError

from realtime.deflate import Inflater
from realtime.errors import Malformed, TooLarge


class Inflating:
    """The half of autobahn's `PerMessageCompress` that it uses to read. What is sent never passes through autobahn."""

    EXTENSION_NAME = "permessage-deflate"

    __slots__ = ("_inflater",)

    def __init__(self, inflater: Inflater) -> None:
        self._inflater = inflater

    def start_decompress_message(self) -> None:
        self._inflater.start()

    def decompress_message_data(self, data: bytes, max_output_len: int | None = None) -> bytes:
        """Raises PayloadExceededError or PayloadCorruptError, upon which autobahn ends the connection."""
        try:
            text = self._inflater.take(data)
        except TooLarge as error:
            raise PayloadExceededError(error.message) from None
        except Malformed as error:
            raise PayloadCorruptError(error.message) from None
        if max_output_len is not None and len(text) > max_output_len:
            raise PayloadExceededError("the server's own limit")
        return text

    def end_decompress_message(self) -> None:
        try:
            self._inflater.end()
        except (TooLarge, Malformed) as error:
            raise PayloadCorruptError(error.message) from None
