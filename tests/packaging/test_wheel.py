"""The wheel holds what is imported, works from anywhere, and needs no torch for environments."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "agentrl": ROOT / "agentrl",
    "agentrl_envs": ROOT / "envs/agentrl_envs",
    "agentrl_tools": ROOT / "tools/agentrl_tools",
}

pytestmark = pytest.mark.slow


def run(*command: str | Path, **options: object) -> str:
    """Run a command; return what it printed, or fail with all of it."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a wheel, built from a copy so that the checkout keeps no build folder that could be stale next time."""
    copy, dist = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in ("agentrl", "envs", "tools"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    pip = sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"
    run(*pip, "--wheel-dir", dist, copy)
    (built,) = dist.glob("agentrl-*.whl")
    return built


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder into which the wheel is installed."""
    target = tmp_path_factory.mktemp("site")
    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", target, wheel)
    return target


def python(site: Path, code: str) -> str:
    """Run code with the installed wheel before everything else, in a folder that has nothing to do with it."""
    environ = {**os.environ, "PYTHONPATH": str(site)}
    return run(sys.executable, "-W", "error", "-c", code, cwd=site.parent, env=environ).strip()


def test_every_module_is_in_the_wheel(wheel: Path) -> None:
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    sources = {
        f"{package}/{file.relative_to(folder).as_posix()}"
        for package, folder in PACKAGES.items()
        for file in folder.rglob("*")
        if file.suffix in (".py", ".typed")
    }
    assert {name for name in packed if name.endswith((".py", ".typed"))} == sources
    assert not [name for name in packed if name.endswith((".xz", ".pddl", ".jsonl"))]


def test_packages_are_imported_from_the_wheel(site: Path) -> None:
    code = (
        "import agentrl, agentrl_envs, agentrl_tools as t; print(agentrl.__file__, agentrl_envs.__file__, t.__file__)"
    )
    for path, package in zip(python(site, code).split(), PACKAGES, strict=True):
        assert Path(path) == site / package / "__init__.py"


@pytest.mark.parametrize("env_id", ["agentrl/Household-v0", "agentrl/Maze-v0"])
def test_environments_are_made_without_torch(site: Path, env_id: str) -> None:
    code = (
        "import sys, gymnasium, agentrl\n"
        f"env = gymnasium.make({env_id!r})\n"
        "observation, info = env.reset(seed=0)\n"
        "assert observation and info['admissible_actions']\n"
        "for action in env.unwrapped.solution(): info = env.step(action)[-1]\n"
        "print(info['outcome'].value, 'torch' in sys.modules)"
    )
    assert python(site, code) == "success False"


def test_entry_points(site: Path) -> None:
    text = next(site.glob("agentrl-*.dist-info/entry_points.txt")).read_text()
    for line in ("agentrl = agentrl_envs", "agentrl = agentrl.pytest_plugin", "agentrl = agentrl.cli:main"):
        assert line in text
