"""The client: ask a served Stream-Omni, get the answer as a stream or whole."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Unpack

from stream_omni_client.access import Tls
from stream_omni_client.audio import AudioInput
from stream_omni_client.conversation import Conversation
from stream_omni_client.errors import StreamOmniError
from stream_omni_client.image import ImageInput
from stream_omni_client.reply import Reply
from stream_omni_client.settings import MANAGEMENT_TIMEOUT_S, choose_settings
from stream_omni_client.turn import Output, TurnOptions

if TYPE_CHECKING:
    from stream_omni_client.running_turn import RunningTurn
    from stream_omni_client.stream import Stream


class StreamOmni:
    """A client of one server. Threads may share it; use it with ``with``, or call :meth:`close`.

    ``url`` is the server's gRPC endpoint, ``host:port``; ``api_key`` and ``tls`` (a :class:`Tls`, or True for a server
    with a public CA's certificate) let the client in. Where they are left away, the environment says: STREAM_OMNI_URL
    (or else localhost:8001), STREAM_OMNI_API_KEY, STREAM_OMNI_TLS_CA, _TLS_CERT and _TLS_KEY.

    Silence is never waited out: a turn fails with :class:`DeadlineExceeded` when its first event takes longer than
    ``first_event_timeout_s``, or when two events lie further apart than ``idle_timeout_s``. A turn that the server
    certainly did not begin (it is full, about to stop, or does not listen) is asked again up to ``max_retries`` times,
    after the pause that the server hints at; never after its first event.

    All methods raise :class:`StreamOmniError` (see its subclasses), and OSError for an input file that cannot be read.
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
        from stream_omni_client.connection import Connection  # not at the top: gRPC is half of the import's time

        self._connection = Connection(self._settings)

    @property
    def url(self) -> str:
        """The server's gRPC endpoint."""
        return self._settings.url

    def __enter__(self) -> StreamOmni:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give up the connection; turns that still run are cancelled."""
        self._connection.close()

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
    ) -> Stream:
        """Ask, and get the answer as it is made.

        Either ``text`` or ``audio`` is the question; pictures may come with both. ``output="speech"`` makes the answer
        spoken, with its text. ``timeout_s`` limits the whole turn. ``options``: history, system, voice, max_tokens,
        max_audio_ms, temperature, top_p, seed (:class:`TurnOptions`). ``traceparent`` (W3C Trace Context) puts the turn
        into a trace; left away, the application's active OpenTelemetry span does.
        """
        return self._start(self._settings.turn("answer", text, audio, image, output, timeout_s, traceparent, options))

    def chat(
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
        return stream.finish()

    def converse(self, *, output: Output = "text", **options: Unpack[TurnOptions]) -> Conversation:
        """Turns that know what was said before them. What is given here holds for each that does not say otherwise;
        ``history`` is what went before."""
        return Conversation(self, output, options)

    def stream_transcript(
        self, audio: AudioInput, *, timeout_s: float | None = None, traceparent: str | None = None
    ) -> Stream:
        """Write down what was said, as it is understood: ``TranscriptDelta`` events, then ``Done``."""
        return self._start(self._settings.turn("transcribe", None, audio, None, "text", timeout_s, traceparent, {}))

    def transcribe(self, audio: AudioInput, *, timeout_s: float | None = None, traceparent: str | None = None) -> Reply:
        """Write down what was said: the reply's ``transcript``."""
        return self.stream_transcript(audio, timeout_s=timeout_s, traceparent=traceparent).finish()

    def stream_speech(
        self,
        text: str,
        *,
        timeout_s: float | None = None,
        traceparent: str | None = None,
        **options: Unpack[TurnOptions],
    ) -> Stream:
        """Speak this very text, and get the speech as it is made: ``TextDelta`` and ``AudioDelta`` events, then
        ``Done``."""
        return self._start(self._settings.turn("speak", text, None, None, "speech", timeout_s, traceparent, options))

    def speak(
        self,
        text: str,
        *,
        timeout_s: float | None = None,
        traceparent: str | None = None,
        **options: Unpack[TurnOptions],
    ) -> Reply:
        """Speak this very text: the reply's ``audio``."""
        return self.stream_speech(text, timeout_s=timeout_s, traceparent=traceparent, **options).finish()

    def voices(self) -> list[str]:
        """The names that ``voice=`` takes; ``default`` is one of them."""
        return list(self.info()["voices"])

    def info(self) -> dict[str, Any]:
        """What is served: voices, limits, output sample rate, checkpoint and version."""
        info: dict[str, Any] = self._connection.model_parameter("info", MANAGEMENT_TIMEOUT_S)
        return info

    def ready(self, timeout_s: float = MANAGEMENT_TIMEOUT_S) -> bool:
        """Whether the server answers a turn of one token.

        Triton's own answer is not asked for: it says ready even of a model whose process died.
        """
        try:
            self._start(self._settings.probing_turn(timeout_s)).finish()
        except StreamOmniError:
            return False
        return True

    def _start(self, turn: RunningTurn) -> Stream:
        from stream_omni_client.stream import Stream

        return Stream(self._connection, turn)
