"""A run goes on with another configuration where that does not change its numbers."""

from pathlib import Path
from typing import Any

import pytest

from agentrl.errors import CheckpointError
from agentrl.trainer.checks.resumption import FREE, check_resumption
from agentrl.trainer.config import Config
from agentrl.trainer.directory.checkpoint import Progress, State
from tests.agentrl.trainer.tiny import tiny_config

DIRECTORY = Path("runs/tiny")


def state(iteration: int = 3, **changes: Any) -> State:
    config = tiny_config(DIRECTORY, **changes)
    return State(
        progress=Progress("reinforce", iteration=iteration), config=config.model_dump(mode="json"), processes=1
    )


def test_nothing_is_said_of_the_same(tmp_path: Path) -> None:
    assert check_resumption(state(), tiny_config(DIRECTORY)) == []
    assert check_resumption(state(), tiny_config(tmp_path, run={"processes": 1})) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rollout": {"concurrency": 3}}, ["rollout.concurrency: 16 → 3"]),
        ({"eval": {"tasks": None, "every": 2}}, ["eval.every: 0 → 2", "eval.tasks: 8 → null"]),
        ({"update": {"token_budget": 512}}, ["update.token_budget: 8192 → 512"]),
        ({"run": {"iterations": 9}}, ["run.iterations: 5 → 9"]),
        ({"run": {"iterations": 3, "checkpoint_every": 7}}, ["run.checkpoint_every: 2 → 7", "run.iterations: 5 → 3"]),
        ({"run": {"processes": 2}}, ["processes: 1 → 2; sums are rounded in another order"]),
    ],
)
def test_what_may_change(changes: dict[str, Any], said: list[str]) -> None:
    assert check_resumption(state(), tiny_config(DIRECTORY, **changes)) == said


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"update": {"lr": 0.25}}, r"update.lr=0.0005, and 0.25 would change its numbers: resume with --set update.lr"),
        ({"run": {"seed": 7}}, "run.seed=0, and 7 would change"),
        (
            {"algorithm": {"gamma": 0.5}},
            "algorithm={'name': 'gigpo', 'invalid_penalty': 0.1}, and {.*'gamma': 0.5}",
        ),
        ({"env": {"kwargs": {"size": 3}}}, "env.kwargs="),
        ({"rollout": {"roll_in": {"chance": 0.5}}}, "rollout.roll_in=null, and"),
        ({"run": {"iterations": 2}}, "run.iterations=2, but the run has made 3 already"),
    ],
)
def test_what_must_not(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        check_resumption(state(), tiny_config(DIRECTORY, **changes))


@pytest.mark.parametrize(
    ("changes", "done", "free"),
    [
        ({"update": {"final_lr_share": 0.1}}, 3, False),
        ({"update": {"final_lr_share": 0.1}}, 0, True),
        ({"update": {"warmup_iterations": 4, "final_lr_share": 0.1}}, 3, True),
        ({"algorithm": {"name": "mdpo"}}, 3, False),
    ],
)
def test_iterations_are_added_where_the_schedule_of_those_done_stays(
    changes: dict[str, Any], done: int, free: bool
) -> None:
    longer = tiny_config(DIRECTORY, **changes, run={"iterations": 9})
    if free:
        assert check_resumption(state(done, **changes), longer) == ["run.iterations: 5 → 9"]
    else:
        with pytest.raises(CheckpointError, match="changes the 3 iterations that are done"):
            check_resumption(state(done, **changes), longer)


def test_keys_that_the_run_did_not_know() -> None:
    """A later version has more of them: their defaults are what the run had."""
    old = state()
    del old.config["critic"], old.config["rollout"]["temperature"]
    assert check_resumption(old, tiny_config(DIRECTORY)) == []
    with pytest.raises(CheckpointError, match=r"rollout.temperature=1.0, and 0.5 would change"):
        check_resumption(old, tiny_config(DIRECTORY, rollout={"temperature": 0.5}))
    old.config["rollout"]["gone"] = 3
    with pytest.raises(CheckpointError, match=r"rollout.gone=3, and \(none\) would change"):
        check_resumption(old, tiny_config(DIRECTORY))


def test_free_keys_exist() -> None:
    for key in FREE:
        section: Any = Config
        for part in key.split("."):
            section = section.model_fields[part].annotation
