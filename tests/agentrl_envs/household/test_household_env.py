"""The household as an environment: splits, endings, keys, forks, dialects."""

import pickle
import time
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentrl.env import Outcome
from agentrl.errors import ConfigError, TaskNotFoundError
from agentrl.seeding import generator
from agentrl.tasks import TaskRef, TaskSet
from agentrl_envs.household.env import HouseholdEnv
from agentrl_envs.household.game import Game
from agentrl_envs.household.games import OfficialGames
from agentrl_envs.household.generator import GeneratedGames
from tests.shared_data import shared_data


class OneGame(TaskSet[Game]):
    def __init__(self, game: Game) -> None:
        self.game = game

    @property
    def splits(self) -> Mapping[str, Sequence[str]]:
        return {"train": [self.game.id]}

    def ref(self, task_id: str) -> TaskRef:
        if task_id != self.game.id:
            raise TaskNotFoundError(f"no {task_id!r}")
        return TaskRef(task_id, "train", "0")

    def load(self, task_id: str) -> Game:
        return self.game


@pytest.fixture
def env(kitchen: Game) -> HouseholdEnv:
    return HouseholdEnv(OneGame(kitchen))


WIN = [
    *("go to fridge 1", "open fridge 1", "take apple 1 from fridge 1", "go to microwave 1"),
    *("heat apple 1 with microwave 1", "go to countertop 1", "move apple 1 to countertop 1"),
]


def test_an_episode_ends_with_reward_one_when_won(env: HouseholdEnv) -> None:
    env.reset()
    for command in WIN[:-1]:
        _, reward, terminated, truncated, info = env.step(command)
        assert (reward, terminated, truncated, info["score"]) == (0.0, False, False, 0.0)
    _, reward, terminated, truncated, info = env.step(WIN[-1])
    assert (reward, terminated, truncated, info["score"]) == (1.0, True, False, 1.0)
    assert info["outcome"] is Outcome.SUCCESS


def test_impossible_commands_change_nothing(env: HouseholdEnv) -> None:
    _, before = env.reset()
    observation, reward, terminated, _, info = env.step("Look")
    assert (observation, reward, terminated, info["action_valid"]) == ("Nothing happens.", 0.0, False, False)
    assert info["anchor_key"] == before["anchor_key"]
    assert info["admissible_actions"] == before["admissible_actions"]


def test_commands_handed_out_are_the_callers_own(env: HouseholdEnv) -> None:
    _, info = env.reset()
    info["admissible_actions"].clear()
    assert env.step("nonsense")[4]["admissible_actions"]


def test_turn_limit(kitchen: Game) -> None:
    env = HouseholdEnv(OneGame(kitchen), max_turns=2)
    env.reset()
    assert env.step("look")[3] is False
    assert env.step("look")[3] is True


def test_snapshot_crosses_processes_and_fork_is_independent(env: HouseholdEnv, kitchen: Game) -> None:
    env.reset()
    for command in WIN[:3]:
        _, _, _, _, info = env.step(command)
    twin, other = env.fork(), HouseholdEnv(OneGame(kitchen))
    other.restore(pickle.loads(pickle.dumps(env.snapshot())))
    env.step("close fridge 1")
    for copy in (twin, other):
        assert copy.fork().step("nonsense")[4]["anchor_key"] == info["anchor_key"]
        results = [copy.step(command) for command in WIN[3:]]
        assert results[-1][1:3] == (1.0, True)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(choices=st.lists(st.integers(0, 10_000), max_size=40))
def test_equal_keys_have_equal_futures(env: HouseholdEnv, choices: list[int]) -> None:
    """Random play, then the same random play once more: a state met again by its key behaves the same."""
    env.max_turns = None
    seen: dict[object, tuple[HouseholdEnv, list[str]]] = {}
    _, info = env.reset()
    for choice in choices:
        key, commands = info["anchor_key"], info["admissible_actions"]
        earlier = seen.setdefault(key, (env.fork(), commands))
        assert earlier[1] == commands
        command = commands[choice % len(commands)]
        expected = earlier[0].fork().step(command)
        result = env.step(command)
        assert result == expected
        info = result[4]
        if result[2]:
            break


def test_dialects(kitchen: Game) -> None:
    env = HouseholdEnv(OneGame(kitchen), dialect="classic")
    env.reset()
    for command in WIN[:-1]:
        env.step(command)
    observation, reward, *_ = env.step("put apple 1 in/on countertop 1")
    assert (observation, reward) == ("You put the apple 1 in/on the countertop 1.", 1.0)
    with pytest.raises(ConfigError, match="did you mean 'classic'"):
        HouseholdEnv(OneGame(kitchen), dialect="clasic")


def test_official_games_through_gymnasium() -> None:
    path = shared_data("alfworld", "json_2.1.1")
    env = gymnasium.make("agentrl/Household-v0", games=path, split="valid_unseen")
    first = env.reset(seed=3)
    assert first == env.reset(seed=3)
    assert first[1]["task_id"].startswith("valid_unseen/")
    with pytest.raises(TaskNotFoundError, match="did you mean"):
        env.reset(options={"task": first[1]["task_id"][:-1]})
    with pytest.raises(TaskNotFoundError, match="valid_seen"):
        gymnasium.make("agentrl/Household-v0", games=path, split="valid_sen")


def test_random_play_on_official_games_is_fast(official: OfficialGames) -> None:
    """A loose bound against accidents; benchmarks/household.py measures. CPU time: others may load the machine."""
    env = HouseholdEnv(official, split="valid_unseen")
    rng = generator(0, "speed")
    num_steps, spent = 0, 0.0
    for episode in range(20):
        _, info = env.reset(seed=episode)
        begin = time.process_time()
        over = False
        while not over:
            commands = info["admissible_actions"]
            _, _, terminated, truncated, info = env.step(commands[int(rng.integers(len(commands)))])
            over = terminated or truncated
            num_steps += 1
        spent += time.process_time() - begin
    assert num_steps / spent > 5_000


def test_the_first_split_is_played_by_default() -> None:
    path = shared_data("alfworld", "json_2.1.1")
    assert HouseholdEnv(path).split == "train"
    assert HouseholdEnv(path / "valid_unseen").split == "valid_unseen"


def test_generator_options_beside_games_are_an_error(kitchen: Game) -> None:
    with pytest.raises(ConfigError, match="difficulty"):
        HouseholdEnv(OneGame(kitchen), generator={"difficulty": "hard"})


def test_the_demonstrator_knows_what_is_asked_for() -> None:
    def turns(expert: str) -> int:
        env = HouseholdEnv(expert=expert)  # type: ignore[arg-type]
        total = 0
        for seed in range(40):
            observation, info = env.reset(seed=seed)
            demonstrator, ended = env.expert(generator(seed)), False
            while not ended:
                observation, _, terminated, truncated, info = env.step(demonstrator(observation, info))
                ended = terminated or truncated
                total += 1
            assert info["success"]
        return total

    assert turns("novice") > turns("informed") + 40
    with pytest.raises(ConfigError, match=r"expert is 'novize', expected one of .*did you mean 'novice'"):
        turns("novize")


def test_environments_share_what_never_changes_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """The members of a group make their game once, in any mix of members and turns."""
    made: list[str] = []
    generate = GeneratedGames._generate

    def counted(self: GeneratedGames, task_id: str) -> Any:
        made.append(task_id)
        return generate(self, task_id)

    monkeypatch.setattr(GeneratedGames, "_generate", counted)
    options = {"seed": 991, "receptacles": [8, 12]}
    members = [HouseholdEnv(generator=options) for _ in range(3)]
    task = members[0].tasks.ids("train")[7]
    assert len({env.reset(seed=1, options={"task": task})[0] for env in members}) == 1
    assert made == [task]
    plan = members[0].solution()
    assert members[0].step(plan[0])[0] != members[1].step("look")[0]
    alone = HouseholdEnv(generator={**options, "num_train": 999_999})  # equal games of a task set of its own
    alone.reset(seed=1, options={"task": task})
    assert made == [task, task]
    alone.step("look")
    for action in plan:
        assert members[1].step(action) == alone.step(action)
