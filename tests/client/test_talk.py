"""``stream-omni talk``: a conversation by files, and by keyboard, microphone and loudspeaker (on ALSA's tape)."""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.client.conftest import heard_on
from tests.client.test_command import RUN, stream_omni

ANSWER = "Grüße, 世界"


@pytest.fixture
def wav(tmp_path: Path) -> str:
    path = tmp_path / "question.wav"
    soundfile.write(path, np.full(1600, 0.5), 16000)
    return str(path)


def test_files_stand_in_for_the_microphone(protocol_url: str, wav: str, tmp_path: Path) -> None:
    done = stream_omni(
        *("talk", "--wav", wav, "--wav", wav, "--mute", "--json", "--out", str(tmp_path), "--url", protocol_url)
    )
    assert (done.returncode, done.stderr) == (0, "")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["turn"] for event in events] == [1] * 7 + [2] * 7
    ends = [event["effective"] for event in events if event["event"] == "done"]
    assert "history" not in ends[0]
    earlier = json.loads(ends[1]["history"][0])
    assert earlier == [{"role": "user", "text": "what is this"}, {"role": "assistant", "text": ANSWER}]
    for number in (1, 2):
        assert len(soundfile.read(tmp_path / f"turn-{number}.wav")[0]) == 8820


def test_people_read_the_text_and_the_times(protocol_url: str, wav: str) -> None:
    done = stream_omni("talk", "--wav", wav, "--output", "text", "--url", protocol_url)
    assert (done.returncode, done.stdout) == (0, ANSWER + "\n")
    assert "heard: what is this\n" in done.stderr
    assert "transcript 0." in done.stderr and ", whole 0." in done.stderr


def test_a_file_that_is_refused_ends_a_script(protocol_url: str, wav: str) -> None:
    refusal = ["--system", "refuse INVALID_ARG INVALID_ARGUMENT: audio is silent"]
    done = stream_omni("talk", "--wav", wav, "--wav", wav, "--mute", "--url", protocol_url, *refusal)
    assert (done.returncode, done.stderr.count("audio is silent")) == (2, 1)
    assert "no folder /nowhere" in stream_omni("talk", "--wav", wav, "--out", "/nowhere").stderr


class Talking:
    """A running ``talk``, and the one who sits before it."""

    def __init__(self, process: subprocess.Popen[bytes], said: Path) -> None:
        self.process, self._said = process, said
        self._told = b""

    def press(self, keys: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(keys.encode())
        self.process.stdin.flush()

    def wait_for(self, words: str) -> None:
        """On stderr; what comes after them is looked at the next time."""
        assert self.process.stderr is not None
        while words.encode() not in self._told:
            assert select.select([self.process.stderr], [], [], 20)[0], self._told.decode()
            part = os.read(self.process.stderr.fileno(), 4096)
            assert part, self._told.decode()
            self._told += part
        self._told = self._told.partition(words.encode())[2]

    def speak(self) -> None:
        """A while: who presses Enter again before the device's thread has run has said nothing."""
        self.wait_for("Enter to speak")
        self._said.unlink(missing_ok=True)
        self.press("\n")
        self.wait_for("listening")
        deadline = time.monotonic() + 20
        while not self._said.exists() or self._said.stat().st_size == 0:
            assert time.monotonic() < deadline, "the microphone records nothing"
            time.sleep(0.01)
        self.press("\n")


@contextmanager
def talking(url: str, folder: Path, *options: str) -> Iterator[Talking]:
    command, pipe = [*RUN, "talk", "--url", url, *options], subprocess.PIPE
    with subprocess.Popen(command, cwd=folder, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        try:
            yield Talking(process, folder / "said.raw")
        finally:
            process.kill()


def test_push_to_talk(protocol_url: str, tape: Path) -> None:
    with talking(protocol_url, tape) as talk:
        for _ in range(2):
            talk.speak()
            talk.wait_for("whole 0.")
        talk.press("q\n")
        assert talk.process.wait(10) == 0
        assert talk.process.stdout is not None
        assert talk.process.stdout.read().decode() == (ANSWER + "\n") * 2
    assert heard_on(tape).tolist() == [*range(1, 8820)] * 2


def test_enter_interrupts_the_answer(protocol_url: str, tape: Path) -> None:
    with talking(protocol_url, tape, "--mute", "--system", "long") as talk:
        for _ in range(2):
            talk.speak()
            time.sleep(1)
            talk.press("\n")
            talk.wait_for("interrupted; heard until: one two three four five]")
        assert talk.process.stdin is not None
        talk.process.stdin.close()  # the end of the input ends the conversation
        assert talk.process.wait(10) == 0


def test_what_is_said_in_vain_can_be_said_again(protocol_url: str, tape: Path) -> None:
    refusal = ["--system", "refuse INVALID_ARG INVALID_ARGUMENT: audio is silent; check the microphone"]
    with talking(protocol_url, tape, "--mute", *refusal) as talk:
        for _ in range(2):
            talk.speak()
            talk.wait_for("check the microphone")
        talk.press("q\n")
        assert talk.process.wait(10) == 0
