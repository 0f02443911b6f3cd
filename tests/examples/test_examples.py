"""The configurations in examples/ and the code in the README: all of it works as it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from agentrl import registry
from agentrl.algorithms.base import make_recipe, recipes
from agentrl.cli import main
from agentrl.context import action_protocol
from agentrl.errors import DataError
from agentrl.testing import LAWS
from agentrl.trainer.config import load_config
from agentrl.trainer.directory.metrics import read_metrics
from agentrl.trainer.world import check_tasks

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
README = (ROOT / "README.md").read_text(encoding="utf-8")
ALGORITHMS = (ROOT / "docs" / "algorithms.md").read_text(encoding="utf-8")
TINY = (
    "policy.build={hidden_size: 16, num_layers: 1, num_heads: 2, vocab_size: 400, tokenizer_episodes: 10}",
    "warm_start={demonstrations: 10, steps: 2, batch_tokens: 500}",
    "rollout={tasks_per_iteration: 2, group_size: 2, concurrency: 4}",
    "eval={tasks: 2}",
    "run.iterations=1",
    "run.processes=1",
)


def tiny_overrides(directory: Path) -> list[str]:
    """Return options that make any example small."""
    return [word for override in (*TINY, f"run.directory={directory}") for word in ("--set", override)]


def test_there_are_examples() -> None:
    assert {"maze.yaml", "quickstart.yaml"} <= {path.name for path in EXAMPLES}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_can_be_used(path: Path) -> None:
    config = load_config(path)
    assert config.env.id in registry.registered()
    make_recipe(config.algorithm)
    action_protocol(config.context.protocol)
    try:
        check_tasks(config)
    except DataError:
        games = config.env.kwargs.get("games")
        assert games and not Path(games).exists(), "only data that is not here may be missing"
    assert path.read_text(encoding="utf-8").startswith("# "), "an example says what it is for"


@pytest.mark.parametrize("name", ["maze", "quickstart"])
def test_example_runs_small(name: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["train", str(ROOT / "examples" / f"{name}.yaml"), *tiny_overrides(tmp_path / "run")])
    assert ended.value.code == 0
    assert [r["index"] for r in read_metrics(tmp_path / "run") if r["stage"] == "reinforce"] == [1]
    assert (tmp_path / "run" / "report.md").exists()


def blocks(language: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
    return [block for name, block in found if name == language]


CHECK, TRAIN = next(block.splitlines() for block in blocks("") if block.startswith("pytest --agentrl-env"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return an empty folder with the files that the README says to write, as they stand there."""
    [python], [yaml] = blocks("python"), blocks("yaml")
    (tmp_path / f"{CHECK.split()[-1].split(':')[0]}.py").write_text(python)
    (tmp_path / TRAIN.split()[-1]).write_text(yaml)
    return tmp_path


def run(command: str, folder: Path, *more: str) -> str:
    """Run a command of the README in a folder and return what it printed."""
    path = os.pathsep.join(map(str, (ROOT, ROOT / "envs", ROOT / "tools")))
    words = [sys.executable, "-P", "-m", *command.split(), *more]
    environ = {**os.environ, "PYTHONPATH": path, "PYTEST_ADDOPTS": "-p no:cacheprovider"}
    done = subprocess.run(words, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_environment_of_the_readme_keeps_the_contract(folder: Path) -> None:
    assert f"{len(LAWS)} passed" in run(CHECK, folder)


def test_environment_of_the_readme_can_be_trained_on(folder: Path) -> None:
    run(TRAIN, folder, *tiny_overrides(folder / "run"))
    assert [r["index"] for r in read_metrics(folder / "run") if r["stage"] == "reinforce"] == [1]


@pytest.mark.slow
def test_environment_of_the_readme_is_learned(folder: Path) -> None:
    """The README's own run, as it stands: unseen tasks are solved more often after it than before."""
    run(TRAIN, folder)
    [config] = folder.glob("*.yaml")
    rows = [r for r in read_metrics(load_config(config).run.directory) if r["stage"] == "eval"]
    before, after = rows[0], rows[-1]
    assert after["low"] > before["high"], rows


def test_docs_name_every_algorithm_and_the_readme_every_environment() -> None:
    for name, recipe in recipes().items():
        [row] = [line for line in ALGORITHMS.splitlines() if line.startswith(f"| `{name}` |")]
        assert recipe.test in row and (ROOT / recipe.test).exists()
        assert re.search(r"https://arxiv.org/abs/(\d+\.\d+)", row).group(1) in recipe.paper  # type: ignore[union-attr]
    for env_id in registry.registered():
        if env_id.startswith("agentrl/"):
            assert f"`{env_id}`" in README


def test_files_that_the_readme_names_exist() -> None:
    named = re.findall(r"`((?:envs|agentrl|docs|tests|examples|benchmarks)/[\w/.-]*\w\.\w+)`", README)
    named += re.findall(r"\]\(((?!http)[^)#]+)", README)
    assert len(named) > 3
    assert [name for name in named if not (ROOT / name).exists()] == []


def anchors(page: Path) -> set[str]:
    """Return what can be linked to in a page: its headings as GitHub and mkdocs name them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))], ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(((?!\w+:)[^)\s]+)\)", text):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link
