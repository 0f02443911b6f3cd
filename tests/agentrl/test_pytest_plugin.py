import os
import subprocess
import sys
from pathlib import Path

import pytest

from agentrl.testing import LAWS

pytest_plugins = "pytester"

ROOT = Path(__file__).parents[2]
PATHS = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / folder) for folder in ("", "envs", "tools"))}

PACKAGE = """
import agentrl
from agentrl_envs.maze import MazeEnv

class Liar(MazeEnv):
    def _admissible_actions(self):
        return [*super()._admissible_actions(), "fly"]

agentrl.register("conformance/Liar-v0", "liar:Liar")
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Return an empty project with a module that registers an environment which breaks one law."""
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:asyncio -p no:cacheprovider")
    pytester.makepyfile(liar=PACKAGE)
    pytester.syspathinsert()
    return pytester


def test_one_test_per_law_and_environment(project: pytest.Pytester) -> None:
    result = project.runpytest("--agentrl-env", "agentrl/Maze-v0", "--agentrl-env", "liar:conformance/Liar-v0")
    result.assert_outcomes(passed=2 * len(LAWS) - 1, failed=1)
    result.stdout.fnmatch_lines(
        ["broken law check_admissible: *", "*'fly' was listed as admissible*", "*To see it: env.reset(seed=0,*"]
    )
    assert "Traceback" not in result.stdout.str()


def test_laws_run_alone_or_beside_the_tests_that_are_named(project: pytest.Pytester) -> None:
    project.makepyfile(test_mine="def test_mine(): pass")
    arguments = "--agentrl-env", "agentrl/Maze-v0", "-k", "mine or reset"
    project.runpytest(*arguments).assert_outcomes(passed=1, deselected=len(LAWS) - 1)
    project.runpytest(*arguments, "test_mine.py").assert_outcomes(passed=2, deselected=len(LAWS) - 1)


def test_a_module_is_found_in_the_current_folder_after_what_is_installed(project: pytest.Pytester) -> None:
    project.makepyfile(test_mine="raise SystemExit('not to be imported')", numpy="raise SystemExit('not this one')")
    command = sys.executable, "-P", "-m", "pytest", "--agentrl-env", "liar:conformance/Liar-v0", "-k", "reset"
    done = subprocess.run(command, cwd=project.path, env=PATHS, capture_output=True, text=True, check=False)
    assert f"1 passed, {len(LAWS) - 1} deselected" in done.stdout, done.stdout + done.stderr


def test_arguments_reach_the_environment(project: pytest.Pytester) -> None:
    arguments = "--agentrl-env", "agentrl/Maze-v0", "-k", "info", "--agentrl-env-kwargs"
    project.runpytest(*arguments, '{"size": 2, "doors": []}').assert_outcomes(passed=1)
    result = project.runpytest(*arguments, '{"sise": 2}')
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*agentrl/Maze-v0*'sise'*"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--agentrl-env", "agentrl/Mace-v0"], "*no environment 'agentrl/Mace-v0'; did you mean 'agentrl/Maze-v0'?"),
        (["--agentrl-env", "nowhere:agentrl/Maze-v0"], "*No module named 'nowhere'*"),
        (["--agentrl-env", "agentrl/Maze-v0", "--agentrl-env-kwargs", "{size"], "*not JSON*{size"),
        (["--agentrl-env", "agentrl/Maze-v0", "--agentrl-env-kwargs", "[2]"], "*expected a JSON object*"),
    ],
)
def test_a_wrong_option_is_a_usage_error(project: pytest.Pytester, arguments: list[str], message: str) -> None:
    result = project.runpytest(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {message}"])


def test_the_plugin_costs_other_projects_no_heavy_import() -> None:
    code = "import sys, agentrl.pytest_plugin; print({'torch', 'transformers', 'agentrl.testing'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
