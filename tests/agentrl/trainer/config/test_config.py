"""The configuration: what is wrong is said in one line that names the remedy."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from agentrl.errors import ConfigError
from agentrl.trainer.config import Config, load_config, parse_config, parse_override
from agentrl.trainer.launch import num_processes
from tests.agentrl.trainer.tiny import tiny_config, tiny_tree, write_config

ENV = {"id": "agentrl/Maze-v0"}


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"env": ENV, "updat": {}}, "unknown key 'updat'; did you mean 'update'?"),
        ({"env": ENV, "update": {"lrr": 1}}, "unknown key 'update.lrr'; did you mean 'lr'?"),
        (
            {"env": ENV, "policy": {"build": {"hidden_sise": 8}}},
            "unknown key 'policy.build.hidden_sise'; did you mean 'hidden_size'?",
        ),
        ({"env": ENV, "update": {"lr": -1}}, "update.lr: input should be greater than 0, got -1"),
        ({"env": ENV, "update": {"lr": float("inf")}}, "update.lr: input should be a finite number, got inf"),
        (
            {"env": ENV, "run": {"iterations": "many"}},
            "run.iterations: input should be a valid integer, unable to parse string as an integer, got 'many'",
        ),
        (
            {"env": ENV, "engine": {"kind": "transformer"}},
            "engine.kind: input should be 'transformers', 'vllm' or 'openai', got 'transformer'",
        ),
        ({}, "env: field required"),
        ({"env": {}}, "env.id: field required"),
        ({"env": ENV, "run": [1]}, "run is a section with keys of its own, got [1]"),
        (
            {"env": ENV, "policy": {"build": {"hidden_size": 12}}},
            "policy.build: hidden_size 12 is not a multiple of 2 × num_heads 4",
        ),
        (
            {"env": ENV, "policy": {"build": {"num_kv_heads": 3}}},
            "policy.build: num_heads 4 is not a multiple of num_kv_heads 3",
        ),
    ],
)
def test_what_is_wrong_is_said(tree: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(tree)
    assert str(caught.value) == message


def test_files(tmp_path: Path) -> None:
    path = write_config(tmp_path / "maze.yaml", {"env": ENV, "run": {"seed": 3}})
    config = load_config(path)
    assert (config.env.id, config.run.seed, config.update.lr) == ("agentrl/Maze-v0", 3, 5e-4)
    with pytest.raises(ConfigError, match=r"no configuration file '.*mase.yaml'; did you mean '.*maze.yaml'\?"):
        load_config(tmp_path / "mase.yaml")
    with pytest.raises(ConfigError, match="no configuration file"):
        load_config(tmp_path)
    with pytest.raises(ConfigError, match="no configuration file"):
        load_config(tmp_path / "nowhere" / "maze.yaml")
    for content, message in (
        (b"a: [", "is not YAML"),
        (b"- 1\n", "must hold a mapping"),
        (b"\xff\xfe\x00", "not YAML"),
    ):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=message) as caught:
            load_config(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_overrides(tmp_path: Path) -> None:
    path = write_config(tmp_path / "maze.yaml", {"env": ENV, "update": None})
    with pytest.raises(ConfigError, match="update is a section"):
        load_config(path)
    config = load_config(
        path,
        ["run.seed=7", "update.betas=[0.5, 0.6]", "env.kwargs.size=4", "eval.tasks=null", "algorithm={name: grpo}"],
    )
    assert (config.run.seed, config.update.betas) == (7, (0.5, 0.6))
    assert (config.env.kwargs, config.eval.tasks) == ({"size": 4}, None)
    assert config.algorithm == {"name": "grpo"}
    assert load_config(path, ["update={}", "policy.path=a=b"]).policy.path == "a=b"


@pytest.mark.parametrize("override", ["run.seed", "=3", "", " =1", "run.seed=[", "env.id.x=1", "run.sead=1"])
def test_bad_overrides(tmp_path: Path, override: str) -> None:
    path = write_config(tmp_path / "maze.yaml", {"env": ENV})
    with pytest.raises(ConfigError) as caught:
        load_config(path, [override])
    assert "\n" not in str(caught.value)
    assert override in str(caught.value) or "'run.sead'; did you mean 'seed'" in str(caught.value)


@pytest.mark.parametrize(
    ("given", "override", "expected"),
    [
        ({"name": "gigpo", "gamma": 0.9}, "{step_weight: 0.5}", {"name": "gigpo", "gamma": 0.9, "step_weight": 0.5}),
        ({"name": "gigpo", "gamma": 0.9}, "{name: gigpo, gamma: 1}", {"name": "gigpo", "gamma": 1}),
        ({"name": "gigpo", "gamma": 0.9}, "{name: grpo}", {"name": "grpo"}),
        (
            {"name": "salt", "base": {"name": "gigpo", "gamma": 0.9}},
            "{base: {step_weight: 2}}",
            {"name": "salt", "base": {"name": "gigpo", "gamma": 0.9, "step_weight": 2}},
        ),
        ({"name": "salt", "base": {"name": "gigpo"}}, "{base: grpo}", {"name": "salt", "base": "grpo"}),
        ({"name": "gigpo", "gamma": 0.9}, "{}", {}),
    ],
)
def test_a_mapping_that_is_set_merges(
    tmp_path: Path, given: dict[str, Any], override: str, expected: dict[str, Any]
) -> None:
    """Options that an override does not name stay, unless it names another thing."""
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump({"env": ENV, "algorithm": given}))
    assert load_config(file, [f"algorithm={override}"]).algorithm == expected


def test_parse_override() -> None:
    assert parse_override(" doors=[red, blue] ") == ("doors", ["red", "blue"])
    with pytest.raises(ConfigError, match="--set 'doors': expected key=value"):
        parse_override("doors")


def test_a_configuration_survives_its_own_file(tmp_path: Path) -> None:
    config = tiny_config(tmp_path, loss={"clip_high": 0.3})
    tree = yaml.safe_load(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))
    assert parse_config(tree) == config


def test_only_foreign_options_are_untyped() -> None:
    """Sections are typed all the way down; untyped is what is of an environment, algorithm, sampler, loss or vLLM."""
    untyped = [
        (name, key)
        for name, field in Config.model_fields.items()
        for key, inner in getattr(field.annotation, "model_fields", {name: field}).items()
        if inner.annotation == dict[str, Any]
    ]
    foreign = [("env", "kwargs"), ("algorithm", "algorithm"), ("rollout", "sampler"), ("engine", "settings")]
    assert untyped == [*foreign, ("loss", "options"), ("loss", "group_options")]


def test_number_of_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert num_processes(tiny_config(tmp_path, run={"processes": 3})) == 3
    assert 1 <= num_processes(tiny_config(tmp_path, run={"processes": 0}, rollout={"tasks_per_iteration": 1})) == 1
    monkeypatch.setenv("WORLD_SIZE", "5")
    assert num_processes(tiny_config(tmp_path)) == 5, "torchrun decides"


def test_configurations_cannot_be_changed(tmp_path: Path) -> None:
    config = parse_config(tiny_tree(tmp_path))
    with pytest.raises(ValueError, match="frozen"):
        config.run.seed = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    "left_open", [{}, {"warm_start": {"steps": None}, "update": {"lr": None}, "critic": {"lr": None}}]
)
def test_defaults_suit_where_the_policy_comes_from(left_open: dict[str, Any]) -> None:
    built = parse_config({"env": {"id": "x"}, **left_open})
    assert (built.warm_start.steps, built.update.lr, built.critic.lr) == (500, 5e-4, 1e-3)
    loaded = parse_config({"env": {"id": "x"}, "policy": {"path": "folder"}, **left_open})
    assert (loaded.warm_start.steps, loaded.update.lr, loaded.critic.lr) == (0, 1e-6, 1e-5)
    given = {"warm_start": {"steps": 3}, "update": {"lr": 0.1}}
    asked = parse_config({"env": {"id": "x"}, "policy": {"path": "folder"}} | given)
    assert (asked.warm_start.steps, asked.warm_start.lr, asked.update.lr) == (3, 1e-5, 0.1)
    assert parse_config(asked.model_dump(mode="json")) == asked, "config.yaml holds what was resolved"


def test_training_on_a_nucleus_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^rollout.top_p: training on a nucleus \(top_p 0.9\) is biased"):
        parse_config({"env": {"id": "x"}, "rollout": {"top_p": 0.9}})
    assert parse_config({"env": {"id": "x"}, "eval": {"top_p": 0.9}}).eval.top_p == 0.9


def test_directories_that_are_not_for_a_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parse_config({"env": ENV, "run": {"directory": "~/runs/a"}}).run.directory == tmp_path / "runs" / "a"
    for directory in ("~", "/", str(tmp_path)):
        with pytest.raises(ConfigError, match=r"run\.directory: .* is not for a run alone: name a folder of its own"):
            parse_config({"env": ENV, "run": {"directory": directory}})
    with pytest.raises(ConfigError, match=r"run\.directory: .*, got None"):
        parse_config({"env": ENV, "run": {"directory": None}})
    with pytest.raises(ConfigError, match="holds a NUL"):
        parse_config({"env": ENV, "run": {"directory": "a\0b"}})
    with pytest.raises(ConfigError, match="home directory"):
        parse_config({"env": ENV, "run": {"directory": "~nobody-of-this-name/a"}})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rollout": {"group_size": 10**9}}, "rollout.group_size: input should be less than or equal to 100000"),
        (
            {"rollout": {"tasks_per_iteration": 10**6, "group_size": 10**4}},
            "10,000,000,000 episodes, at most 10,000,000",
        ),
        ({"eval": {"tasks": 10**6, "samples": 100}}, "eval.tasks × samples is 100,000,000 episodes"),
        ({"policy": {"build": {"num_layers": 10**9}}}, "policy.build.num_layers: input should be less than or equal"),
        ({"run": {"seed": -1}}, "run.seed: input should be greater than or equal to 0, got -1"),
        ({"run": {"seed": 10**30}}, "run.seed: input should be less than or equal to"),
    ],
)
def test_numbers_that_no_machine_bears(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_config({"env": ENV} | changes)


def test_more_processes_than_a_machine_bears() -> None:
    with pytest.raises(ConfigError, match=r"run.processes 4096 on a machine of \d+ cores: at most 8 a core"):
        num_processes(parse_config({"env": ENV, "run": {"processes": 4096}}))
