"""API keys: the file, the command that keeps it, who is let in, and what each key may have at once."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_omni.serving.api_keys import ApiKeys, Holder, KeyFileError, make_key, read_keys, write_keys
from stream_omni.serving.doorkeeper import Doorkeeper
from stream_omni.serving.errors import DrainingError, OverloadedError, UnauthenticatedError
from stream_omni.serving.keys_command import main
from stream_omni.serving.metrics import REJECTED
from stream_omni.serving.quotas import Quotas
from stream_omni.serving.stage_secret import StageSecret
from tests.serving.notebook import Notebook, key


def bearer(word: str) -> dict[str, str]:
    return {"authorization": f"Bearer {word}"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def added(file: Path, name: str, turns: int | None = None, waiting: int = 0) -> str:
    made, stored = make_key(name, turns, waiting)
    write_keys(file, [*(read_keys(file) if file.exists() else ()), stored])
    return made


def test_a_key_lets_its_holder_in_and_the_file_does_not_tell_it(file: Path) -> None:
    alice, bob = added(file, "alice", turns=2, waiting=1), added(file, "bob")
    keys = ApiKeys(file)
    assert keys.holder(bearer(alice)) == Holder("alice", 2, 1)
    assert keys.holder({"Authorization": f"bearer {bob}"}) == Holder("bob")
    assert len(alice) >= 43 and alice not in file.read_text() and file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Basic {key}"},
        {"authorization": "{key}"},
        {"authorization": "Bearer {hash}"},
        {"authorization": "Bearer x{key}"},
        {"authorization": "Bearer \ud800"},
        {"authorization": 7},
        {"key": "Bearer {key}"},
    ],
    ids=str,
)
def test_everything_else_does_not(file: Path, sent: dict[str, object]) -> None:
    words = {"{key}": added(file, "alice"), "{hash}": read_keys(file)[0].sha256}
    filled = {
        name: re.sub(r"\{\w+\}", lambda found: words[found[0]], value) if isinstance(value, str) else value
        for name, value in sent.items()
    }
    with pytest.raises(UnauthenticatedError, match=r"UNAUTHENTICATED: .*; "):
        ApiKeys(file).holder(filled)


@given(st.dictionaries(st.text(), st.one_of(st.text(), st.integers(), st.booleans(), st.floats())))
def test_no_parameters_break_the_doorkeeper(
    tmp_path_factory: pytest.TempPathFactory, parameters: dict[str, object]
) -> None:
    file = Path(tmp_path_factory.getbasetemp()) / "some-keys.json"
    if not file.exists():
        added(file, "alice")
    with pytest.raises(UnauthenticatedError):
        Doorkeeper(StageSecret.make(), ApiKeys(file)).let_in(parameters)


def test_the_file_counts_as_it_is_now(file: Path) -> None:
    alice = added(file, "alice")
    keys = ApiKeys(file)
    keys.holder(bearer(alice))
    bob = added(file, "bob")
    assert keys.holder(bearer(bob)).name == "bob"
    write_keys(file, [stored for stored in read_keys(file) if stored.name != "alice"])
    with pytest.raises(UnauthenticatedError):
        keys.holder(bearer(alice))


def test_a_file_that_is_broken_or_gone_lets_nobody_in_and_is_logged_once(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    alice = added(file, "alice")
    keys, content = ApiKeys(file), file.read_text()
    for spoil in (lambda: file.write_text(content[:-9]), file.unlink):
        file.write_text(content)
        assert keys.holder(bearer(alice)).name == "alice"
        caplog.clear()
        spoil()
        for _ in range(3):
            with pytest.raises(UnauthenticatedError):
                keys.holder(bearer(alice))
        assert [record.getMessage()[:22] for record in caplog.records] == ["no key is accepted: " + str(file)[:2]]
    file.write_text(content)
    assert keys.holder(bearer(alice)).name == "alice"


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"name": ""}, "is no name"),
        ({"name": "a b"}, "is no name"),
        ({"sha256": "abc"}, "no SHA-256"),
        ({"turns": 0}, "turns of alice is 0"),
        ({"turns": "2"}, "turns of alice is '2'"),
        ({"turns": 1, "waiting": -1}, "waiting of alice is -1"),
        ({"waiting": 1}, "waiting of alice needs turns"),
        ({"owner": "x"}, "no file of keys"),
    ],
    ids=str,
)
def test_what_is_wrong_in_a_file_is_named(file: Path, entry: dict[str, object], sentence: str) -> None:
    added(file, "alice")
    content = json.loads(file.read_text())
    content["keys"][0] |= entry
    file.write_text(json.dumps(content))
    with pytest.raises(KeyFileError, match=sentence):
        read_keys(file)


def test_the_server_itself_needs_no_key(file: Path) -> None:
    added(file, "alice")
    secret = StageSecret.make()
    assert Doorkeeper(secret, ApiKeys(file)).let_in(secret.parameters).turns is None
    assert Doorkeeper(secret, None).let_in({}).name == ""


def test_the_command_makes_lists_and_revokes(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--file", str(file)]
    assert main(["make", "--name", "alice", "--turns", "2", *where]) == 0
    first = capsys.readouterr()
    assert ApiKeys(file).holder(bearer(first.out.strip())).name == "alice"
    assert "not kept anywhere" in first.err
    assert main(["make", "--name", "alice", "--turns", "3", *where]) == 1  # they share one quota
    assert "another quota" in capsys.readouterr().err
    assert main(["make", "--name", "alice", "--turns", "2", *where]) == 0
    older = read_keys(file)[0].short
    assert f"stream-omni keys revoke {older}" in capsys.readouterr().err
    assert main(["revoke", older, *where]) == 0
    assert main(["list", *where]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert len(listed) == 2 and listed[1].split()[2:] == ["2", "0", "alice"]
    assert main(["revoke", older, *where]) == 1
    assert main(["list", "--file", str(file.parent / "none.json")]) == 1
    assert "No such file" in capsys.readouterr().err


def test_a_key_has_its_turns_and_no_more() -> None:
    async def scene() -> None:
        notes = Notebook()
        quotas, alice, bob = Quotas(5.0, notes), Holder("alice", 2, 1), Holder("bob")
        for turn in (1, 2):
            await quotas.enter(turn, alice)
        third = asyncio.create_task(quotas.enter(3, alice))
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError, match=r"retry_after_ms=\d+: the key alice may have 2 turns at once and 1 "):
            await quotas.enter(4, alice)
        assert notes.counted[key(REJECTED, reason="quota")] == 1
        for turn in range(10, 20):
            await quotas.enter(turn, bob)  # has none of his own, only what all have
        assert not third.done()
        quotas.leave(1)
        await asyncio.wait_for(third, 1)
        for turn in (4, 10, 2, 3, 3):  # also of those who never entered, or twice
            quotas.leave(turn)
        for turn in (5, 6):
            await quotas.enter(turn, alice)

    asyncio.run(scene())


def test_who_waits_for_his_own_turns_hears_of_the_end() -> None:
    async def scene() -> None:
        quotas, alice = Quotas(5.0, Notebook()), Holder("alice", 1, 1)
        await quotas.enter(1, alice)
        waiting = asyncio.create_task(quotas.enter(2, alice))
        await asyncio.sleep(0)
        quotas.close(2000)
        with pytest.raises(DrainingError):
            await waiting

    asyncio.run(scene())


def test_a_changed_quota_counts_for_new_turns_and_loses_no_place() -> None:
    async def scene() -> None:
        quotas, before, after = Quotas(0.0, Notebook()), Holder("alice", 1), Holder("alice", 2)
        await quotas.enter(1, before)
        for turn in (2, 3):
            await quotas.enter(turn, after)
        with pytest.raises(OverloadedError):
            await quotas.enter(4, after)
        for turn in (1, 2, 3):
            quotas.leave(turn)
        await quotas.enter(5, before)

    asyncio.run(scene())
