"""``stream-omni build``: complete, repeatable, checked, and careful with what is there."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from google.protobuf import text_format
from stream_omni_build import manifest
from stream_omni_build.graph_checks import check_graphs
from stream_omni_build.main import main
from stream_omni_build.manifest import is_whole, read_manifest
from stream_omni_build.parity import ParityError
from stream_omni_build.progress import silent
from stream_omni_build.repository import find_profile
from tritonclient.grpc import model_config_pb2

from stream_omni.assets import Assets
from stream_omni.checkpoint import open_sources
from stream_omni.graphs import graphs

from .conftest import run_build

Checkpoint = tuple[Path, Path]


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def copied(checkpoint: Checkpoint, folder: Path) -> Checkpoint:
    language, cosyvoice = (shutil.copytree(source, folder / source.name) for source in checkpoint)
    return language, cosyvoice


def test_a_build_holds_what_serving_needs_and_says_what_it_found(built: Path) -> None:
    assets = Assets.load(built)
    assert assets.speakable.shape == (assets.info.vocabulary.text_size,)
    assert assets.image_newline.shape == (assets.info.llama.hidden,)
    assert assets.speaker("default").shape == (assets.info.flow.speaker_size,)
    manifest = json.loads((built / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["parity"].keys() == graphs(assets.info).keys()
    assert all(0 < found["largest_error"] < 1e-4 and found["shapes"] for found in manifest["parity"].values())
    recorded = {name: file["sha256"] for name, file in manifest["files"].items()}
    assert recorded == {name: digest for name, digest in contents(built).items() if name != "manifest.json"}
    assert str(built.parent) not in json.dumps(manifest)


def test_every_configuration_is_one_that_triton_knows(built: Path) -> None:
    folders = sorted((built / "model_repository").iterdir())
    assert {"stream_omni", "llm", "speech_top", "token2wav", "turn"} <= {folder.name for folder in folders}
    for folder in folders:
        text = (folder / "config.pbtxt").read_text(encoding="utf-8")
        config = text_format.Parse(text, model_config_pb2.ModelConfig())
        assert config.name == folder.name and "${" not in text
        assert (folder / "1" / "model.py").is_file() == (config.backend == "python")
        if folder.name == "stream_omni":
            info = json.loads(config.parameters["info"].string_value)
            assert {"checkpoint", "version", "voices", "limits", "sample_rate"} <= info.keys()


def test_a_second_build_changes_nothing_and_another_place_gets_the_same_bytes(
    random_checkpoint: Checkpoint, built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in built.rglob("*")}
    assert run_build(random_checkpoint, built) == 0
    assert "unchanged: nothing to build" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in built.rglob("*")} == before
    moved = copied(random_checkpoint, tmp_path)
    assert run_build(moved, tmp_path / "again") == 0
    assert contents(tmp_path / "again") == contents(built)


def test_only_what_depends_on_a_change_is_built_again(
    random_checkpoint: Checkpoint, built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, checkpoint = shutil.copytree(built, tmp_path / "served"), copied(random_checkpoint, tmp_path)
    profile = tmp_path / "small.toml"
    profile.write_text(find_profile("cpu").read_text(encoding="utf-8").replace("slots = 8", "slots = 3"), "utf-8")
    assert run_build(checkpoint, out, "--profile", str(profile)) == 0
    assert "unchanged: graphs and assets" in capsys.readouterr().out
    changed = {name for name, digest in contents(out).items() if contents(built)[name] != digest}
    assert {name.split("/")[-1] for name in changed} == {"config.pbtxt", "manifest.json"}
    assert 'string_value: "3"' in (out / "model_repository" / "llm" / "config.pbtxt").read_text(encoding="utf-8")

    (out / "graphs" / "llm.onnx").unlink()
    assert not is_whole(out, read_manifest(out)["files"])
    config = checkpoint[0] / "config.json"
    config.write_text(config.read_text(encoding="utf-8") + "\n", "utf-8")
    assert run_build(checkpoint, out) == 0
    assert "export llm" in capsys.readouterr().out
    assert (out / "graphs" / "llm.onnx").is_file()


def test_the_unit_head_keeps_what_the_tokenizer_names_and_all_ids_where_it_does_not(
    random_checkpoint: Checkpoint, built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    info = Assets.load(built).info
    assert info.only_units and read_manifest(built)["inputs"]["graphs"]["only_units"]
    assert len(info.speech_ids) == info.vocabulary.units + len(info.vocabulary.eos)

    checkpoint = copied(random_checkpoint, tmp_path)
    tokenizer = checkpoint[0] / "tokenizer.json"
    text = tokenizer.read_text(encoding="utf-8")
    tokenizer.write_text(text.replace('"<Audio_5>"', '"<Laugh>"'), "utf-8")
    assert run_build(checkpoint, tmp_path / "served") == 0
    assert "the unit head keeps all ids" in capsys.readouterr().out
    whole = Assets.load(tmp_path / "served").info
    assert not whole.only_units and whole.speech_ids == range(info.vocabulary.size)


def test_a_graph_that_differs_stops_the_build(random_checkpoint: Checkpoint, built: Path, tmp_path: Path) -> None:
    out, sources = shutil.copytree(built, tmp_path / "served"), open_sources(*random_checkpoint)
    model = onnx.load(out / "graphs" / "llm.onnx", load_external_data=False)
    head = next(tensor for tensor in model.graph.initializer if tensor.name == "head.weight")
    place = {entry.key: entry.value for entry in head.external_data}
    with (out / "graphs" / place["location"]).open("r+b") as file:
        file.seek(int(place["offset"]))
        file.write(np.array([3], "<f4").tobytes())  # one of the matrix's 65,536 values
    with pytest.raises(
        ParityError, match=r"graph llm, shape B=1 T=1 .*: logits differs from the network's by .*allowed"
    ):
        check_graphs(Assets.load(out).info, sources, out, silent())


def test_an_interrupted_build_does_not_look_complete_and_is_taken_up(
    random_checkpoint: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = copied(random_checkpoint, tmp_path)
    tokenizer = checkpoint[1] / "speech_tokenizer_v1.onnx"
    good = tokenizer.read_bytes()
    tokenizer.write_bytes(good[: len(good) // 2])
    assert run_build(checkpoint, tmp_path / "served") == 1
    assert "does not run as a speech tokenizer" in capsys.readouterr().err
    assert not (tmp_path / "served" / "manifest.json").exists()
    assert (tmp_path / "served" / "UNFINISHED").is_file()
    tokenizer.write_bytes(good)
    assert run_build(checkpoint, tmp_path / "served") == 0
    assert not (tmp_path / "served" / "UNFINISHED").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("threads = 1", "threads = 1\nthreds = 2"), "no model uses threds of [shared]"),
        (("threads = 1", ""), "llm needs threads"),
        (("[limits]", "[vision_encoder]\nslots = 2\n[limits]"), "vision_encoder has no use for slots"),
        (("[limits]", "[speech_tokenizer]\n[speech_end]\n[limits]"), "there is no model [speech_end]"),
        (("only_units = true", "only_unit = true"), "[graphs] has no only_unit"),
        (("only_units = true", 'only_units = "yes"'), "only_units of [graphs] is 'yes'; it must be true or false"),
        (("screened_heads = true", "screened_heads = 1"), "screened_heads of [graphs] is 1; it must be true or false"),
        (("[chunks]", "max_pictures_ = 1\n[chunks]"), "unknown limits: max_pictures_"),
        (("lookahead_units = 10", "lookahead_units = 1"), "lookahead_units 1 make 3 frames"),
        (("growth", "grow"), "unexpected keyword argument 'grow'"),
        (("[shared]", ""), "must be in a table, such as [shared]"),
        (("[shared]", "[shared"), "is no TOML"),
    ],
)
def test_a_profile_with_a_mistake_is_refused_before_anything_long(
    change: tuple[str, str],
    message: str,
    random_checkpoint: Checkpoint,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    profile = tmp_path / "mistaken.toml"
    profile.write_text(find_profile("cpu").read_text(encoding="utf-8").replace(*change, 1), "utf-8")
    assert run_build(random_checkpoint, tmp_path / "served", "--profile", str(profile)) == 1
    captured = capsys.readouterr()
    assert message in captured.err
    assert "export" not in captured.out


def test_what_cannot_be_built_is_named(
    random_checkpoint: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = copied(random_checkpoint, tmp_path)
    (checkpoint[0] / "tokenizer.json").unlink()
    (checkpoint[1] / "speech_tokenizer_v1.onnx").unlink()
    assert run_build(checkpoint, tmp_path / "served") == 1
    message = capsys.readouterr().err
    assert str(checkpoint[0] / "tokenizer.json") in message and "speech_tokenizer_v1.onnx" in message
    assert run_build(random_checkpoint, tmp_path / "served", "--profile", "gpu") == 1
    assert "there is no profile 'gpu': give one of cpu, or the path of a .toml file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ ''.__class__.__mro__ }}", "chat template refuses these messages"),
        ("{{ messages[0].content }}", "does not render the user's message exactly once"),
    ],
)
def test_a_chat_template_that_cannot_be_used_is_said_by_the_build(
    template: str, message: str, random_checkpoint: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = copied(random_checkpoint, tmp_path)
    path = checkpoint[0] / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(config | {"chat_template": template}), "utf-8")
    assert run_build(checkpoint, tmp_path / "served") == 1
    assert message in capsys.readouterr().err


def test_a_folder_with_other_files_is_left_alone(
    random_checkpoint: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "graphs").mkdir()
    (tmp_path / "graphs" / "thesis.txt").write_text("years of work", "utf-8")
    assert run_build(random_checkpoint, tmp_path) == 1
    assert "holds other files: choose another --out, or empty it" in capsys.readouterr().err
    assert contents(tmp_path).keys() == {"graphs/thesis.txt"}


def test_random_is_the_other_command(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["random", "--help"])
    assert ended.value.code == 0


def test_code_that_only_speaks_about_builds_makes_nothing_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "build" / "stream_omni_build"
    shutil.copytree(manifest.PACKAGE, package)
    monkeypatch.setattr(manifest, "PACKAGE", package)
    before = manifest._digest_code()
    (package / "compile_times.py").write_text("MEASURED_S = {}\n")
    assert manifest._digest_code() == before
    (package / "gpu_memory.py").write_text("COMPILERS_SHARE = 2\n")
    assert manifest._digest_code() != before
