"""The asynchronous twin of :mod:`stream_omni_client.client`: the same names and arguments, for an event loop."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Unpack

from stream_omni_client.access import Tls
from stream_omni_client.async_conversation import AsyncConversation
from stream_omni_client.audio import AudioInput
from stream_omni_client.errors import StreamOmniError
from stream_omni_client.image import ImageInput
from stream_omni_client.reply import Reply
from stream_omni_client.settings import MANAGEMENT_TIMEOUT_S, choose_settings
from stream_omni_client.turn import Output, TurnOptions

if TYPE_CHECKING:
    from stream_omni_client.async_connection import AsyncConnection
    from stream_omni_client.async_stream import AsyncStream
    from stream_omni_client.running_turn import RunningTurn


class AsyncStreamOmni:
    """A client of one server for asyncio, as :class:`StreamOmni` is for threads; use it with ``async with``, or await
    :meth:`close`. Its tasks may share it. It belongs to the event loop in which it is first used.

    The streaming methods are not awaited: ``async with client.stream("...") as stream: async for event in stream``.
    Files are read, and sound is decoded, before they return: hand in ``(array, rate)`` where that is too long.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        api_key: str | None = None,
        tls: Tls | bool | None = None,
        first_event_timeout_s: float = 60.0,
        idle_timeout_s: float = 30.0,
        max_retries: int = 2,
    ) -> None:
        self._settings = choose_settings(url, api_key, tls, first_event_timeout_s, idle_timeout_s, max_retries)
        from stream_omni_client.grpc_channel import (
            read_credentials,
        )  # late, as in the twin

        self._credentials = read_credentials(self._settings.tls)
        self._connected: AsyncConnection | None = None

    @property
    def url(self) -> str:
        """The server's gRPC endpoint."""
        return self._settings.url

    async def __aenter__(self) -> AsyncStreamOmni:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Give up the connection; turns that still run are cancelled."""
        if self._connected is not None:
            await self._connected.close()

    def stream(
        self,
        text: str | None = None,
        *,
        audio: AudioInput | None = None,
        image: ImageInput | None = None,
        output: Output = "text",
        timeout_s: float | None = None,
        traceparent: str | None = None,
        **options: Unpack[TurnOptions],
    ) -> AsyncStream:
        """Ask, and get the answer as it is made: :meth:`StreamOmni.stream` tells the arguments."""
        return self._start(self._settings.turn("answer", text, audio, image, output, timeout_s, traceparent, options))

    async def chat(
        self,
        text: str | None = None,
        *,
        audio: AudioInput | None = None,
        image: ImageInput | None = None,
        output: Output = "text",
        timeout_s: float | None = None,
        traceparent: str | None = None,
        **options: Unpack[TurnOptions],
    ) -> Reply:
        """Ask as with :meth:`stream`, and wait for the whole answer."""
        stream = self.stream(
            text,
            audio=audio,
            image=image,
            output=output,
            timeout_s=timeout_s,
            traceparent=traceparent,
            **options,
        )
        return await stream.finish()

    def converse(self, *, output: Output = "text", **options: Unpack[TurnOptions]) -> AsyncConversation:
        """Turns that know what was said before them. What is given here holds for each that does not say otherwise;
        ``history`` is what went before."""
        return AsyncConversation(self, output, options)

    def stream_transcript(
        self, audio: AudioInput, *, timeout_s: float | None = None, traceparent: str | None = None
    ) -> AsyncStream:
        """Write down what was said, as it is understood: ``TranscriptDelta`` events, then ``Done``."""
        return self._start(self._settings.turn("transcribe", None, audio, None, "text", timeout_s, traceparent, {}))

    async def transcribe(
        self, audio: AudioInput, *, timeout_s: float | None = None, traceparent: str | None = None
    ) -> Reply:
        """Write down what was said: the reply's ``transcript``."""
        return await self.stream_transcript(audio, timeout_s=timeout_s, traceparent=traceparent).finish()

    def stream_speech(
        self,
        text: str,
        *,
        timeout_s: float | None = None,
        traceparent: str | None = None,
        **options: Unpack[TurnOptions],
    ) -> AsyncStream:
        """Speak this very text, and get the speech as it is made: ``TextDelta`` and ``AudioDelta`` events, then
        ``Done``."""
        return self._start(self._settings.turn("speak", text, None, None, "speech", timeout_s, traceparent, options))

    async def speak(
        self,
        text: str,
        *,
        timeout_s: float | None = None,
        traceparent: str | None = None,
        **options: Unpack[TurnOptions],
    ) -> Reply:
        """Speak this very text: the reply's ``audio``."""
        return await self.stream_speech(text, timeout_s=timeout_s, traceparent=traceparent, **options).finish()

    async def voices(self) -> list[str]:
        """The names that ``voice=`` takes; ``default`` is one of them."""
        return list((await self.info())["voices"])

    async def info(self) -> dict[str, Any]:
        """What is served: voices, limits, output sample rate, checkpoint and version."""
        info: dict[str, Any] = await self._connection().model_parameter("info", MANAGEMENT_TIMEOUT_S)
        return info

    async def ready(self, timeout_s: float = MANAGEMENT_TIMEOUT_S) -> bool:
        """Whether the server answers a turn of one token; Triton's own answer is not asked for."""
        try:
            await self._start(self._settings.probing_turn(timeout_s)).finish()
        except StreamOmniError:
            return False
        return True

    def _start(self, turn: RunningTurn) -> AsyncStream:
        from stream_omni_client.async_stream import AsyncStream

        return AsyncStream(self._connection(), turn)

    def _connection(self) -> AsyncConnection:
        """A channel binds itself to the event loop that runs when it is made, so it is made late."""
        if self._connected is None:
            from stream_omni_client.async_connection import AsyncConnection

            self._connected = AsyncConnection(self._settings, self._credentials)
        return self._connected
