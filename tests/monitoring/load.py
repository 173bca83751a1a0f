"""Users of all kinds, for a while: all modes, pictures, those who leave, those who ask wrongly, and more than
there is room for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from openai import OpenAI, OpenAIError
from stream_omni_client import StreamOmni, StreamOmniError

from tests.client.gateway.realtime.talk import talk

_MEDIA = Path(__file__).parents[2] / "build" / "demo" / "media"
_QUESTION, _PICTURE = _MEDIA / "question.wav", _MEDIA / "picture.png"
_BREATH_S = 0.3  # between the turns of one user
_CROWD = 26  # more than two servers of 8 places and 4 waiting ones take


@contextmanager
def load(server_url: str, gateway_url: str) -> Iterator[None]:
    """Until the block ends."""
    over = threading.Event()
    with StreamOmni(server_url, max_retries=0) as omni, OpenAI(base_url=f"{gateway_url}/v1", api_key="none") as openai:
        users = [lambda: _talk(omni), lambda: _write(omni), lambda: _ask_the_gateway(openai)]
        users += [lambda: _converse(openai), lambda: _leave(omni), lambda: _crowd(server_url)]
        threads = [threading.Thread(target=_again_and_again, args=(user, over)) for user in users]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join()


def _again_and_again(user: Callable[[], None], over: threading.Event) -> None:
    while not over.is_set():
        with suppress(StreamOmniError, OpenAIError):  # refusals, and turns that the tests' own faults end
            user()
        over.wait(_BREATH_S)


def _talk(omni: StreamOmni) -> None:
    omni.chat(audio=_QUESTION, output="speech", max_tokens=24, max_audio_ms=6000)
    omni.chat("What is on this picture?", image=_PICTURE, output="speech", max_tokens=16, max_audio_ms=3000)
    omni.chat(audio=_QUESTION, image=_PICTURE, output="speech", max_tokens=16, max_audio_ms=3000)


def _write(omni: StreamOmni) -> None:
    omni.chat("hello", max_tokens=40)
    omni.chat(audio=_QUESTION, max_tokens=20)
    omni.chat("read this aloud", task="speak", output="speech", max_audio_ms=4000)
    with suppress(StreamOmniError):
        omni.chat("too hot", temperature=9.0)


def _leave(omni: StreamOmni) -> None:
    with omni.stream("hello", output="speech", max_tokens=400) as stream:
        next(stream)


def _crowd(server_url: str) -> None:
    """All at once, from connections of their own."""

    def ask() -> None:
        with suppress(StreamOmniError), StreamOmni(server_url, max_retries=0) as omni:
            omni.chat("hello", max_tokens=30)

    threads = [threading.Thread(target=ask) for _ in range(_CROWD)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    time.sleep(12)


def _ask_the_gateway(openai: OpenAI) -> None:
    asked = [{"role": "user", "content": "hi"}]
    openai.chat.completions.create(model="stream-omni", messages=asked, max_tokens=12)  # type: ignore[call-overload]
    for _ in openai.chat.completions.create(  # type: ignore[call-overload]
        model="stream-omni", messages=asked, max_tokens=12, stream=True
    ):
        pass
    openai.audio.speech.create(
        model="stream-omni", voice="default", input="hello", response_format="wav", extra_body={"max_audio_ms": 2000}
    ).read()
    with _QUESTION.open("rb") as question:
        openai.audio.transcriptions.create(model="stream-omni", file=question)
    with suppress(OpenAIError):
        openai.chat.completions.create(model="another", messages=asked)  # type: ignore[call-overload]


def _converse(openai: OpenAI) -> None:
    with talk(openai) as session:
        session.write("hello", max_output_tokens=12)
        session.until("response.done")
        session.connection.response.cancel()  # of nothing: refused
        session.until("error")
    with suppress(Exception), openai.realtime.connect(model="another") as connection:
        connection.recv()
