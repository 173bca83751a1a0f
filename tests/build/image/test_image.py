"""The images: linted, and their commands run outside of Docker, which is not to be had here."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from stream_omni_build import demo
from stream_omni_client.command import COMMANDS

from tests.build.image.instructions import ROOT, read_targets

SERVED = ("server", "cpu", "gateway")
HADOLINT = Path(sys.executable).with_name("hadolint")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "build" / "compose.yaml").read_text(encoding="utf-8"))


def lint(text: str) -> list[str]:
    done = subprocess.run([HADOLINT, "--no-color", "-"], input=text, capture_output=True, text=True)
    return done.stdout.splitlines()


@pytest.mark.skipif(not HADOLINT.exists(), reason="hadolint has a wheel for x86-64 alone")
def test_the_dockerfile_is_linted() -> None:
    text = (ROOT / "build" / "Dockerfile").read_text(encoding="utf-8")
    assert lint(text) == []
    assert lint(text + "\nRUN cd /tmp && sudo true\n")  # it does see what is wrong


def test_the_compose_file_says_what_compose_knows(compose: dict[str, Any]) -> None:
    specification = pytest.importorskip("compose_spec", reason="not for this platform")
    read = specification.PyCompose.from_json
    assert set(read(json.dumps(compose)).service_names()) == {"server", "gateway", "fetch", "engines", "volumes"}
    compose["services"]["server"]["read_onyl"] = True
    with pytest.raises(ValueError, match="read_onyl"):
        read(json.dumps(compose))
    del compose["services"]["server"]["read_onyl"]


def test_no_service_has_more_rights_than_it_needs(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["read_only"] and service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["user"] == ("0:0" if name == "volumes" else "1000:1000"), name
        assert "privileged" not in service
        assert set(service) & {"cap_add"} == ({"cap_add"} if name == "volumes" else set())
    published = {name: s["ports"] for name, s in compose["services"].items() if "ports" in s}
    assert published == {"gateway": ["127.0.0.1:8080:8080"]}


def test_compose_and_images_agree(compose: dict[str, Any]) -> None:
    targets, services = read_targets(), compose["services"]
    for service in services.values():
        if build := service.get("build"):
            assert (ROOT / "build" / build["context"] / build["dockerfile"]).is_file()
            assert build["target"] in SERVED
    ports = re.findall(r"\d{4}", targets["server"].values["EXPOSE"])
    assert set(services["server"]["expose"]) <= set(ports)
    options = services["server"]["command"]
    assert options[options.index("--admin-port") + 1] in targets["server"].environment["HEALTH_URL"]
    assert services["server"]["stop_grace_period"] == "60s"


@pytest.mark.parametrize("name", SERVED)
def test_an_image_runs_as_nobody_in_particular_and_tells_its_health(name: str) -> None:
    target = read_targets()[name]
    assert target.values["USER"] == "1000:1000"
    assert target.command("HEALTHCHECK") == ["python", "/opt/healthcheck.py"]
    assert target.command("ENTRYPOINT") == ["stream-omni"]


@pytest.mark.parametrize("name", SERVED)
def test_its_command_line_is_one_that_we_know(name: str) -> None:
    command, *options = read_targets()[name].command("CMD")
    parser = import_module(COMMANDS[command].module).make_parser()
    parser.parse_args(options)


def test_compose_runs_commands_that_we_know(compose: dict[str, Any]) -> None:
    for name in ("server", "gateway", "fetch", "engines"):
        command, *options = [
            re.sub(r"\$\{\w+:-(.*?)\}", r"\1", str(word)) for word in compose["services"][name]["command"]
        ]
        import_module(COMMANDS[command].module).make_parser().parse_args(options)


def test_base_images_can_be_pinned_by_digest() -> None:
    targets, text = read_targets(), (ROOT / "build" / "Dockerfile").read_text(encoding="utf-8")
    assert targets["server"].base == "${TRITON_IMAGE}${TRITON_DIGEST}"
    assert "ARG TRITON_IMAGE=nvcr.io/nvidia/tritonserver:26.07-trtllm-python-py3\n" in text
    assert targets["wheel"].base == targets["plain"].base == "${PYTHON_IMAGE}${PYTHON_DIGEST}"


def test_what_is_copied_is_there_and_is_sent_to_the_builder() -> None:
    sent = [line for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
    assert sent[0] == "*"
    allowed = [line[1:] for line in sent if line.startswith("!")]
    for target in read_targets().values():
        for *sources, _ in target.copies:
            for source in sources:
                assert (ROOT / source).exists(), source
                assert any(source == a or source.startswith(f"{a}/") for a in allowed), source
    tracked = subprocess.run(["git", "ls-files", *allowed], cwd=ROOT, capture_output=True, text=True, check=True)
    large = [name for name in tracked.stdout.split() if (ROOT / name).is_file() and (ROOT / name).stat().st_size > 5e6]
    assert all(fnmatch.fnmatch(name, "build/demo/checkpoint/*") for name in large), large


def test_an_images_constraints_keep_what_the_base_has(tmp_path: Path) -> None:
    script, own = ROOT / "build" / "image" / "merge_constraints.py", ROOT / "constraints.txt"
    printed = subprocess.run([sys.executable, script, own], capture_output=True, text=True, check=True).stdout
    merged = dict(line.split("==") for line in printed.split())
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "list", "--format", "json"], capture_output=True, text=True, check=True
    ).stdout
    for package in json.loads(listed):
        assert merged[re.sub(r"[-_.]+", "-", package["name"]).lower()] == package["version"]
    empty = subprocess.run([sys.executable, "-I", "-S", script, own], capture_output=True, text=True, check=True).stdout
    assert "torch==2.13.0" in empty.split()  # where the base has none, it is ours


def test_of_a_package_that_is_there_twice_the_imported_one_is_kept(tmp_path: Path) -> None:
    """As in images where pip has put a newer one before that of the system."""
    for place, version in (("first", "2.0"), ("second", "1.0")):
        info = tmp_path / place / f"twice-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: twice\nVersion: {version}\n", encoding="utf-8")
    script, own = ROOT / "build" / "image" / "merge_constraints.py", ROOT / "constraints.txt"
    path = {"PYTHONPATH": f"{tmp_path / 'first'}:{tmp_path / 'second'}"}
    printed = subprocess.run([sys.executable, script, own], capture_output=True, text=True, check=True, env=path).stdout
    assert "twice==2.0" in printed.split()


def test_the_environment_sees_the_base_and_pip_can_install_into_it(tmp_path: Path) -> None:
    """The lines of the server's RUN, with a wheel of nothing in place of ours: no package index is asked."""
    (run,) = read_targets()["server"].runs
    assert "python3 -m venv --without-pip --system-site-packages" in run
    wheel = tmp_path / "nothing-1.0-py3-none-any.whl"
    make_empty_wheel(wheel)
    home = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "--system-site-packages", home], check=True)
    pip = [sys.executable, "-m", "pip", "--python", home / "bin" / "python3", "install", "--no-cache-dir", "--no-index"]
    subprocess.run([*pip, "--compile", f"nothing @ file://{wheel}"], check=True, capture_output=True)
    seen = "from importlib.metadata import version; print(version('nothing'))"
    told = subprocess.run([home / "bin" / "python", "-c", seen], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "1.0"


def make_empty_wheel(path: Path) -> None:
    info = "nothing-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: nothing\nVersion: 1.0\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", f"{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")


def test_extras_that_images_name_exist() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for name in SERVED:
        (named,) = re.findall(r"stream-omni\[([\w,]+)\]", " ".join(read_targets()[name].runs))
        assert set(named.split(",")) <= extras.keys()
    assert not [line for line in extras["container"] if re.match("torch|nvidia|tensorrt|numpy", line)]


def test_the_demo_is_found_beside_the_package(tmp_path: Path) -> None:
    """As the link in the image has it."""
    (link,) = (run for run in read_targets()["cpu"].runs if run.startswith("ln -s"))
    where = re.search(r"python -c '(.*?)'", link)
    assert where is not None
    told = subprocess.run([sys.executable, "-c", where[1]], capture_output=True, text=True, check=True).stdout.strip()
    assert (Path(told) / ".." / "demo").resolve() == demo._DEMO.resolve()
    assert shutil.which("ln") and os.access(demo._CHECKPOINT, os.R_OK)
