"""A conversation: turns that know what was said before them, and of each answer what was heard."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Unpack

from stream_omni_client.audio import AudioInput
from stream_omni_client.errors import StreamOmniError
from stream_omni_client.image import ImageInput
from stream_omni_client.reply import Reply
from stream_omni_client.turn import Output, TurnOptions

if TYPE_CHECKING:
    from stream_omni_client.client import StreamOmni
    from stream_omni_client.stream import Stream


class Memory:
    """What both kinds of conversation remember: each question, written or as it was understood, and its reply, which
    knows what of it was heard. A turn that brought nothing (it was refused, or failed) did not happen."""

    def __init__(self, output: Output, options: TurnOptions) -> None:
        self._output, self._options = output, options
        self._earlier = [dict(turn) for turn in options.get("history") or ()]
        self._exchanges: list[tuple[str | None, Reply]] = []

    @property
    def history(self) -> list[dict[str, str]]:
        """All turns so far, oldest first, each ``{"role": "user" or "assistant", "text": ...}``."""
        turns = list(self._earlier)
        for text, reply in self._exchanges:
            heard = reply.heard
            if heard or reply.done or reply.heard_ms is not None:
                turns.append({"role": "user", "text": reply.transcript if text is None else text})
            if heard:
                turns.append({"role": "assistant", "text": heard})
        return turns

    def _options_of_turn(self, options: TurnOptions) -> TurnOptions:
        if "history" in options:
            raise TypeError("a conversation has its own history; give converse() the turns that go before it")
        return {**self._options, **options, "history": self.history or None}

    def _cut(self, heard_ms: float | None) -> Reply | None:
        """The last reply, of which that much was heard; None before the first turn."""
        if not self._exchanges:
            return None
        reply = self._exchanges[-1][1]
        reply.heard_ms = reply.spoken_ms if heard_ms is None else heard_ms
        return reply


class Conversation(Memory):
    """Made by :meth:`StreamOmni.converse`. One turn runs at a time: asking leaves the one that still runs.

    With ``with``, leaving the block does too. A conversation belongs to one thread; :meth:`interrupt` alone may be
    called from others.
    """

    def __init__(self, client: StreamOmni, output: Output, options: TurnOptions) -> None:
        super().__init__(output, options)
        self._client = client
        self._stream: Stream | None = None

    def __enter__(self) -> Conversation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

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
    ) -> Stream:
        """Ask as with :meth:`StreamOmni.stream`; what is left away is as ``converse`` was told.

        A picture belongs to its turn only: give it again where a later question is about it.
        """
        if self._stream is not None and not self._stream.is_over:
            self.interrupt()
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

    def chat(
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
            return stream.finish()
        except StreamOmniError:
            self._exchanges.pop()
            raise

    def interrupt(self, heard_ms: float | None = None) -> str:
        """Cut the last answer where the listener stopped it, after ``heard_ms`` of its speech (None: after all that has
        come), and end its turn if it runs: the loop over its events ends without an error.

        Returns what was heard of the answer's text, which is all that later turns will know of it.
        """
        reply = self._cut(heard_ms)
        self.close()
        return reply.heard if reply else ""

    def close(self) -> None:
        """Cancel the turn that still runs, if any."""
        if self._stream is not None:
            self._stream.close()
