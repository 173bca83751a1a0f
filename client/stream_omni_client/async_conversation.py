"""The asynchronous twin of :mod:`stream_omni_client.conversation`."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Unpack

from stream_omni_client.audio import AudioInput
from stream_omni_client.conversation import Memory
from stream_omni_client.errors import StreamOmniError
from stream_omni_client.image import ImageInput
from stream_omni_client.reply import Reply
from stream_omni_client.turn import Output, TurnOptions

if TYPE_CHECKING:
    from stream_omni_client.async_client import AsyncStreamOmni
    from stream_omni_client.async_stream import AsyncStream


class AsyncConversation(Memory):
    """Made by :meth:`AsyncStreamOmni.converse`. One turn runs at a time: asking leaves the one that still runs.

    With ``async with``, leaving the block does too.
    """

    def __init__(self, client: AsyncStreamOmni, output: Output, options: TurnOptions) -> None:
        super().__init__(output, options)
        self._client = client
        self._stream: AsyncStream | None = None

    async def __aenter__(self) -> AsyncConversation:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def stream(
        self,
        text: str | None = None,
        *,
        audio: AudioInput | None = None,
        image: ImageInput | None = None,
        output: Output | None = None,
        timeout_s: float | None = None,
        traceparent: str | None = None,
        **options: Unpack[TurnOptions],
    ) -> AsyncStream:
        """Ask as with :meth:`AsyncStreamOmni.stream`; what is left away is as ``converse`` was told.

        A picture belongs to its turn only: give it again where a later question is about it.
        """
        if self._stream is not None and not self._stream.is_over:
            self._cut(None)
            self._stream._leave()
        self._stream = self._client.stream(
            text,
            audio=audio,
            image=image,
            output=output or self._output,
            timeout_s=timeout_s,
            traceparent=traceparent,
            **self._options_of_turn(options),
        )
        self._exchanges.append((text, self._stream.reply))
        return self._stream

    async def chat(
        self,
        text: str | None = None,
        *,
        audio: AudioInput | None = None,
        image: ImageInput | None = None,
        output: Output | None = None,
        timeout_s: float | None = None,
        traceparent: str | None = None,
        **options: Unpack[TurnOptions],
    ) -> Reply:
        """Ask as with :meth:`stream`, and wait for the whole answer. A turn that fails leaves no history."""
        stream = self.stream(
            text,
            audio=audio,
            image=image,
            output=output,
            timeout_s=timeout_s,
            traceparent=traceparent,
            **options,
        )
        try:
            return await stream.finish()
        except StreamOmniError:
            self._exchanges.pop()
            raise

    async def interrupt(self, heard_ms: float | None = None) -> str:
        """Cut the last answer where the listener stopped it, after ``heard_ms`` of its speech (None: after all that has
        come), and end its turn if it runs: the loop over its events ends without an error.

        Returns what was heard of the answer's text, which is all that later turns will know of it.
        """
        reply = self._cut(heard_ms)
        await self.close()
        return reply.heard if reply else ""

    async def close(self) -> None:
        """Cancel the turn that still runs, if any."""
        if self._stream is not None:
            await self._stream.close()
