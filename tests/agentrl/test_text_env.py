import pickle
from typing import Any

import numpy as np
import pytest

import agentrl
from agentrl.env import FreeText, Outcome, SnapshotLevel, TextEnv, TurnResult, advance, finish
from agentrl.errors import ConfigError, OrderError, SnapshotError, TaskNotFoundError
from agentrl.making import make
from agentrl.tasks import DrawnTasks
from tests.contract import toy


@pytest.fixture
def env() -> toy.Line:
    line = toy.Line(max_turns=4)
    line.reset(seed=0)
    return line


def away(env: toy.Line) -> str:
    """Return the action that leads away from the goal."""
    return "left" if env.at < env.goal else "right"


def test_an_episode_that_is_won(env: toy.Line) -> None:
    infos = [env.step(action)[4] for action in env.solution()]
    assert [info["success"] for info in infos] == [False] * (len(infos) - 1) + [True]
    assert (infos[-1]["outcome"], infos[-1]["outcome_reason"], infos[-1]["score"]) == ("success", "task solved", 1.0)
    assert env.solution() == []


def test_an_episode_that_runs_out_of_turns(env: toy.Line) -> None:
    answers = [env.step(away(env)) for _ in range(4)]
    assert [answer[2:4] for answer in answers] == [(False, False)] * 3 + [(False, True)]
    assert answers[-1][4]["outcome"] is Outcome.TRUNCATED
    assert answers[-1][4]["outcome_reason"] == "turn limit of 4 reached"
    with pytest.raises(OrderError, match="after the end"):
        env.step("left")


def test_a_task_can_fail_and_scores_are_the_worlds_own() -> None:
    class Exam(toy.Line):
        def _advance(self, action: str) -> TurnResult:
            if action == "hand in":
                return finish("Failed.", reward=-1.0, success=False, score=0.4)
            return advance("Go on.", reward=0.1, score=0.2)

    env = Exam()
    env.reset(seed=0)
    _, reward, _, _, info = env.step("write")
    assert (reward, info["score"], "outcome" in info) == (0.1, 0.2, False)
    _, reward, terminated, _, info = env.step("hand in")
    assert (reward, terminated, info["score"]) == (-1.0, True, 0.4)
    assert (info["outcome"], info["outcome_reason"], info["success"]) == (Outcome.FAILURE, "task failed", False)


def test_the_key_of_an_ended_state_says_how_it_ended() -> None:
    keys = set()
    for action in ("pass", "fail", "wait"):
        env = Submission(max_turns=1)
        env.reset(seed=0)
        *_, info = env.step(action)
        keys.add(info["anchor_key"])
    assert keys == {("ended", True, "desk"), ("ended", False, "desk"), "desk"}


class Submission(toy.Line):
    def _advance(self, action: str) -> TurnResult:
        if action == "wait":
            return advance("Time passes.")
        return finish("So be it.", reward=0.0, success=action == "pass")

    def _anchor_key(self) -> str:
        return "desk"


def test_a_dead_end_has_no_solution_and_an_expert_that_gives_up() -> None:
    env = toy.Cliff()
    env.reset(seed=0)
    env.at = env.goal + 4
    assert env.solution() is None
    assert env.expert(np.random.default_rng(0))("", {}) is None
    env.step("give up")
    assert env.solution() == []


def drawn(rng: np.random.Generator) -> int:
    return int(rng.integers(10, 1000))


def test_a_world_without_snapshots_is_pickled_as_it_is() -> None:
    env = toy.Unbranched(DrawnTasks(drawn, {"train": 9}), max_turns=7)
    env.reset(seed=0)
    env.step("left")
    again = pickle.loads(pickle.dumps(env))
    assert again.turn == 1
    assert [again.step("wait") for _ in range(3)] == [env.step("wait") for _ in range(3)]


def test_free_text_says_what_it_is() -> None:
    assert repr(FreeText()) == "FreeText()"


def test_only_what_the_policy_caused_is_a_verdict() -> None:
    verdicts = {outcome for outcome in Outcome if outcome.is_verdict}
    assert verdicts == {Outcome.SUCCESS, Outcome.FAILURE, Outcome.TRUNCATED}


def test_a_task_is_drawn_from_the_split_or_given() -> None:
    env = toy.Line(split="valid")
    assert env.reset(seed=1)[1]["task_id"].startswith("valid/")
    assert env.reset(options={"task": "train/3"})[1]["task_id"] == "train/3"
    assert env.task == env.tasks.ref("train/3")
    with pytest.raises(TaskNotFoundError, match="did you mean 'train/3"):
        env.reset(options={"task": "train/3x"})
    with pytest.raises(TaskNotFoundError, match="no split 'trian'; did you mean 'train'"):
        toy.Line(split="trian")


def test_without_a_seed_the_generator_goes_on(env: toy.Line) -> None:
    tasks = {env.reset()[1]["task_id"] for _ in range(20)}
    assert len(tasks) > 5


@pytest.mark.parametrize("kind", [toy.Line, toy.Replayed])
def test_a_snapshot_of_an_episode_without_seed_is_restored(kind: type[toy.Line]) -> None:
    env = kind(max_turns=9)
    env.reset(seed=5)
    env.reset(options={"task": "train/1"})  # no seed: begins wherever the generator stands
    env.step("nonsense")
    place, snapshot = env.at, pickle.loads(pickle.dumps(env.snapshot()))
    env.reset(seed=6)
    other = kind(max_turns=9)
    for restored in (env, other):
        restored.restore(snapshot)
        assert (restored.at, restored.turn, restored.task and restored.task.id) == (place, 1, "train/1")
        assert restored._last_observation == "What?"


def test_a_fork_keeps_options_and_shares_no_generator(env: toy.Line) -> None:
    twin = env.fork()
    assert (twin.max_turns, twin.split, twin.turn) == (4, "train", 0)
    assert twin.tasks is env.tasks
    state = env.np_random.bit_generator.state
    twin.np_random.random()
    assert env.np_random.bit_generator.state == state


def test_a_closed_environment_is_closed(env: toy.Line) -> None:
    env.close()
    for call in (lambda: env.step("left"), lambda: env.reset(seed=0)):
        with pytest.raises(OrderError, match="after close"):
            call()


def test_an_action_is_a_string(env: toy.Line) -> None:
    with pytest.raises(TypeError, match="an action is a string, got int: 3"):
        env.step(3)  # type: ignore[arg-type]
    assert env.turn == 0


def test_hooks_that_are_missing_say_so(env: toy.Line) -> None:
    class Bare(toy.Line):
        _admissible_actions = TextEnv._admissible_actions
        _get_state = TextEnv._get_state
        _set_state = TextEnv._set_state
        _solve = TextEnv._solve

    bare = Bare()
    assert bare.reset(seed=0)[1]["admissible_actions"] is None
    for call in (bare.snapshot, bare.solution, lambda: bare.restore(_as("Bare", env.snapshot()))):
        with pytest.raises(NotImplementedError):
            call()


def _as(env_type: str, snapshot: agentrl.Snapshot) -> agentrl.Snapshot:
    from dataclasses import replace

    return replace(snapshot, env_type=f"test_hooks_that_are_missing_say_so.<locals>.{env_type}")


def test_snapshots_belong_to_their_kind(env: toy.Line) -> None:
    other = toy.Replayed()
    other.reset(seed=0)
    with pytest.raises(SnapshotError, match="snapshot of Replayed given to Line"):
        env.restore(other.snapshot())
    assert other.snapshot().level is SnapshotLevel.REPLAY


def test_the_expert_follows_the_solution(env: toy.Line) -> None:
    plan = env.solution()
    act = env.expert(np.random.default_rng(0))
    assert [act("", {}) for _ in plan] == plan


def test_all_strings_are_in_the_space() -> None:
    space = FreeText()
    space.seed(3)
    first = space.sample()
    space.seed(3)
    assert space.sample() == first
    assert first in space
    assert "\x00 向北" in space
    assert 3 not in space
    assert space == FreeText()
    assert space != 3


@pytest.mark.parametrize(
    ("env_id", "options", "message"),
    [
        ("agentrl/Maez-v0", {}, "no environment 'agentrl/Maez-v0'; did you mean 'agentrl/Maze-v0'"),
        ("agentrl/Maze-v0", {"colour": "red"}, "agentrl/Maze-v0 .*'colour'"),
        ("CartPole-v1", {}, "CartPole.*, which is not a TextEnv"),
        ("Blackjack", {}, "no environment 'Blackjack'"),
        ("not an id", {}, "not an id"),
        ("no_such_module:agentrl/Maze-v0", {}, "no_such_module"),
    ],
)
def test_what_cannot_be_made_is_a_config_error(env_id: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(env_id, **options)
