import importlib.metadata
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import gymnasium
import pytest
from gymnasium.envs import registration

import agentrl
from agentrl import registry


@pytest.fixture
def line_id() -> Iterator[str]:
    """Register the toy world, and forget it afterwards."""
    env_id = "toys/Line-v0"
    agentrl.register(env_id, "tests.contract.toy:Line", max_turns=7)
    yield env_id
    registration.registry.pop(env_id, None)


def test_a_registered_environment_is_gymnasiums_own(line_id: str) -> None:
    env = gymnasium.make(line_id)
    assert env.unwrapped.max_turns == 7
    again = gymnasium.make(registration.EnvSpec.from_json(env.spec.to_json()), max_turns=3)
    assert (type(again.unwrapped).__name__, again.unwrapped.max_turns) == ("Line", 3)
    assert line_id in registry.registered()


def test_nothing_is_wrapped_around_it(line_id: str) -> None:
    env = gymnasium.make(line_id)
    assert env is env.unwrapped


def test_registering_again_changes_nothing(line_id: str) -> None:
    spec = registration.registry[line_id]
    agentrl.register(line_id, "nowhere:Nothing")
    assert registration.registry[line_id] is spec


def test_what_gymnasium_forgot_is_not_listed_and_can_be_registered_anew(line_id: str) -> None:
    spec = registration.registry.pop(line_id)
    assert line_id not in registry.registered()
    agentrl.register(line_id, spec.entry_point)
    assert line_id in registry.registered()


def test_the_projects_own_environments_are_registered_on_import() -> None:
    assert {"agentrl/Household-v0", "agentrl/Maze-v0"} <= set(registry.registered())


def test_a_broken_plugin_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ImportError("no such thing")

    loaded = []
    plugins = [
        SimpleNamespace(name="bad", value="bad_pkg", load=fail),
        SimpleNamespace(name="good", value="good_pkg", load=lambda: loaded.append("good")),
    ]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: plugins if group == "gymnasium.envs" else [])
    with pytest.warns(UserWarning, match=r"environment plug-in bad \(bad_pkg\) failed: ImportError\('no such thing'\)"):
        registry.load_plugins()
    assert loaded == ["good"]


def test_importing_and_making_needs_no_torch_and_warns_of_nothing() -> None:
    code = (
        "import sys, agentrl\n"
        "env = agentrl.make('agentrl/Maze-v0')\n"
        "env.reset(seed=0)\n"
        "print(sorted({'torch', 'transformers', 'agentrl_tools'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
