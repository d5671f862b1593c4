"""What is shipped: the wheel that is installed here, and the source distribution."""

import json
import os
import shlex
import subprocess
import sys
import tarfile
import venv
from importlib.metadata import distribution, entry_points
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
TARGET = PACKAGE.parent / "target"


def test_one_wheel_serves_every_python_from_3_11_on() -> None:
    ternmq = distribution("ternmq")
    [tag] = [line for line in (ternmq.read_text("WHEEL") or "").splitlines() if "Tag:" in line]
    assert tag.startswith("Tag: cp311-abi3-")
    assert ternmq.metadata["Requires-Python"] == ">=3.11"
    assert ternmq.requires is None
    licenses = [str(file) for file in ternmq.files or () if "licenses/" in str(file)]
    assert {name.rpartition("/")[2] for name in licenses} == {"LICENSE-APACHE", "LICENSE-MIT"}


def test_it_has_the_command() -> None:
    [command] = entry_points(group="console_scripts", name="ternmq")
    assert command.value == "ternmq.__main__:main"


def test_the_source_distribution_builds_from_itself_alone() -> None:
    # A debug build, because it is quick. The crates of others are those that the Rust tests have built. Our
    # own are built anew: cargo takes crates with the same path in two workspaces for the same, unless
    # something else is different, such as how much of them debuggers are told.
    folder = unpacked()
    env = os.environ | {
        "CARGO_TARGET_DIR": str(TARGET / "sdist/target"),
        "CARGO_BUILD_BUILD_DIR": str(TARGET),
        "CARGO_NET_OFFLINE": "true",
        "CARGO_PROFILE_DEV_DEBUG": "0",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    told = run(["cargo", "metadata", "--format-version=1"], cwd=folder, env=env)
    for crate in json.loads(told)["packages"]:
        ours = crate["source"] is None
        assert ours == Path(crate["manifest_path"]).is_relative_to(folder), crate["name"]

    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    alone = ["--no-index", "--no-deps", "--quiet"]
    others = 'profile.dev.package."*".debug="line-tables-only"'
    debug = f"--config-settings=build-args=--profile=dev --config={shlex.quote(others)}"
    wheels = folder / "wheels"
    run([*pip, "wheel", *alone, "--no-build-isolation", debug, f"-w{wheels}", str(folder)], env=env)
    [wheel] = wheels.glob("ternmq-*-cp311-abi3-*.whl")

    venv.create(folder / "venv")
    python = folder / "venv/bin/python"
    run([*pip, f"--python={python}", "install", *alone, "--no-compile", str(wheel)])
    code = "import ternmq; b = ternmq.Broker(); b.start(); b.stop(); print(ternmq.__file__)"
    assert run([str(python), "-I", "-c", code]).startswith(str(folder / "venv"))
    assert run([str(folder / "venv/bin/ternmq"), "--version"]).startswith("ternmq ")


def unpacked() -> Path:
    """The source distribution, in a folder that is always the same, so that what cargo keeps of it does
    not grow. The files are of now, so that it builds anew."""
    maturin = [sys.executable, "-m", "maturin", "sdist"]
    out = TARGET / "sdist"
    for old in out.glob("*.tar.gz"):
        old.unlink()
    run([*maturin, f"--manifest-path={PACKAGE}/Cargo.toml", f"--out={out}"])
    [archive] = out.glob("ternmq-*.tar.gz")
    folder = out / "unpacked"
    run(["rm", "-rf", str(folder)])
    with tarfile.open(archive) as tar:
        [name] = {member.name.partition("/")[0] for member in tar}
        for member in tar:
            tar.extract(member.replace(mtime=None), folder, filter="data")  # type: ignore[arg-type]
    return folder / name


def run(command: list[str], cwd: Path = TARGET, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
