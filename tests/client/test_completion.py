"""The shells complete commands, options, choices and files."""

from __future__ import annotations

import importlib
import os
import pty
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from stream_omni_client.command import COMMANDS

Complete = Callable[[str], set[str]]


def script(shell: str) -> str:
    """Without the commands that need PyTorch, which is slow to load."""
    program = "import sys; sys.modules['torch'] = None; from stream_omni_client.command import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "completion", shell]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """For each shell one with its script and a file to be found."""
    folders = {shell: tmp_path_factory.mktemp(shell) for shell in ("bash", "zsh", "fish")}
    for shell, folder in folders.items():
        (folder / "_stream-omni").write_text(script(shell))
        (folder / "my question.wav").touch()
    return folders


def need(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")


@pytest.fixture(params=["bash", "fish"])
def complete(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Complete:
    """What a shell offers for the last word of a line."""
    shell: str = request.param
    need(shell)

    def run(line: str) -> set[str]:
        command = in_bash(line) if shell == "bash" else in_fish(line)
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30, cwd=folders[shell])
        assert done.stderr == ""
        return {offer.partition("\t")[0].replace("\\", "") for offer in done.stdout.splitlines()}

    return run


def in_bash(line: str) -> list[str]:
    words = line.split(" ")
    quoted = " ".join(f"'{word}'" for word in words)
    program = f"source ./_stream-omni; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _stream_omni; "
    return ["bash", "--norc", "-c", program + 'printf "%s\\n" "${COMPREPLY[@]}"']


def in_fish(line: str) -> list[str]:
    return ["fish", "--no-config", "-c", f"source ./_stream-omni; complete -C '{line}'"]


def test_commands(complete: Complete) -> None:
    assert {"ask", "talk", "transcribe", "voices", "health", "bench", "completion"} <= complete("stream-omni ")


def test_options_and_their_values(complete: Complete) -> None:
    assert {"--text", "--audio", "--output", "--json", "--url"} <= complete("stream-omni ask --")
    assert "--wav" in complete("stream-omni talk --")
    assert "--wav" not in complete("stream-omni ask --")
    assert complete("stream-omni ask --output ") == {"speech", "text"}


def test_files(complete: Complete) -> None:
    assert "my question.wav" in complete("stream-omni ask --audio ")
    assert "my question.wav" in complete("stream-omni transcribe ")


def test_words_without_an_option(complete: Complete) -> None:
    assert complete("stream-omni completion ") >= {"bash", "fish", "zsh"}
    assert complete("stream-omni keys ") >= {"make", "list", "revoke"}


def test_zsh_completes_what_is_typed(folders: dict[str, Path]) -> None:
    """On a terminal, for zsh completes nowhere else: what was typed, a tab, and what the command was then given."""
    need("zsh")
    set_up = (
        "PS1= PS2=; unsetopt zle_bracketed_paste; fpath=($PWD $fpath); autoload -Uz compinit; compinit -u -D\n"
        'stream-omni() { print -r -- "<${(j:|:)@}>" >> given }\n'
    )
    typed = ["tra", "ask --aud", "ask --output sp", "ask --audio my", "transcribe my", "completion fi", "keys rev"]
    run_in_terminal(["zsh", "-f", "-i"], set_up + "".join(f"stream-omni {line}\t\n" for line in typed), folders["zsh"])
    given = (folders["zsh"] / "given").read_text().splitlines()
    question = "my question.wav"
    completed = ["transcribe", "ask|--audio", "ask|--output|speech", f"ask|--audio|{question}"]
    completed += [f"transcribe|{question}", "completion|fish", "keys|revoke"]
    assert given == [f"<{line}>" for line in completed]


def run_in_terminal(command: list[str], keys: str, folder: Path) -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "dumb", "HOME": str(folder)}
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=environment, start_new_session=True
    )
    os.close(theirs)
    os.write(ours, (keys + "exit\n").encode())
    watchdog = threading.Timer(60, process.kill)
    watchdog.start()
    try:
        while os.read(ours, 4096):
            pass
    except OSError:
        pass  # the terminal has no other side any more
    finally:
        watchdog.cancel()
        os.close(ours)
        process.wait(30)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_can_read_it(shell: str, folders: dict[str, Path]) -> None:
    need(shell)
    done = subprocess.run([shell, "-n", folders[shell] / "_stream-omni"], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_its_options_to_shells(name: str) -> None:
    assert importlib.import_module(COMMANDS[name].module).make_parser().prog == f"stream-omni {name}"
