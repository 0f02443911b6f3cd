"""A guide's first turns and hints: what the policy is fed, what it is trained on, what a group shares."""

import asyncio
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from agentrl.context import make_context
from agentrl.engines.base import SamplingParams
from agentrl.env import Outcome, TextEnv
from agentrl.errors import ConfigError
from agentrl.hosts.inline import held
from agentrl.rollout import EpisodeSpec, Limits, RollIn, Rollout, group_specs, play_episode
from agentrl.rollout.roll_in import check_plans, hinted
from agentrl.types import Trajectory
from tests.agentrl.rollout.toys import Corridor, TracedEngine, byte_tokenizer, chatter, recite

SPEC = EpisodeSpec("g/0", "g", "corridor-4", env_seed=5, sampling_seed=11)
TWO = RollIn(1.0, (2, 2), "solution")


def play(kind: str, roll_in: RollIn | None, *texts: str, env: TextEnv | None = None, **changes: Any) -> Any:
    context = make_context(byte_tokenizer(), kind)
    engine = TracedEngine(recite(context.chat, *texts), context.chat.tokenizer)
    limits = Limits(**changes.pop("limits", {}))
    spec = replace(SPEC, **changes)
    episode = play_episode(held(env or Corridor()), engine, context, spec, SamplingParams(), limits, roll_in=roll_in)
    trajectory = asyncio.run(episode)
    assert engine.num_open == 0, "a session was leaked"
    return trajectory, engine


@pytest.mark.parametrize("guide", ["solution", "expert"])
def test_the_policy_goes_on_where_the_guide_stopped(guide: Any) -> None:
    trajectory, engine = play("append", RollIn(1.0, (2, 2), guide), "right", "right", "ring")
    assert trajectory.success and trajectory.extra["guided_turns"] == 2
    assert [turn.action for turn in trajectory.turns] == ["right"] * 4 + ["ring"]
    assert [turn.num_tokens for turn in trajectory.turns] == [0, 0, 6, 6, 5]
    assert [turn.mean_entropy for turn in trajectory.turns[:2]] == [0.0, 0.0]
    (sequence,) = trajectory.sequences
    assert [sequence.ids_L.tolist()] == engine.finished, "the engine heard the guide's turns, and nothing twice"
    assert set(sequence.turns_L[sequence.action_mask_L]) == {2, 3, 4}
    assert (sequence.turns_L == -1).sum() == (~sequence.action_mask_L).sum()
    assert engine.num_requests == 3, "the guide's turns are not sampled"


def test_the_tokens_are_those_of_an_episode_that_the_policy_played_alone() -> None:
    guided, _ = play("append", TWO, "right", "right", "ring")
    alone, _ = play("append", None, *["right"] * 4, "ring")
    np.testing.assert_array_equal(guided.sequences[0].ids_L, alone.sequences[0].ids_L)
    assert [turn.anchor for turn in guided.turns] == [turn.anchor for turn in alone.turns]
    assert [turn.reward for turn in guided.turns] == [turn.reward for turn in alone.turns]


def test_a_window_keeps_the_sequences_of_the_policys_turns() -> None:
    guided, engine = play("window", TWO, "right", "right", "ring")
    alone, _ = play("window", None, *["right"] * 4, "ring")
    assert len(guided.turns) == 5 and len(guided.sequences) == 3
    for one, other in zip(guided.sequences, alone.sequences[2:], strict=True):
        np.testing.assert_array_equal(one.ids_L, other.ids_L)
        np.testing.assert_array_equal(one.turns_L, other.turns_L)
    assert [sequence.ids_L.tolist() for sequence in guided.sequences] == engine.finished


@pytest.mark.parametrize("chance", [0.0, 0.4, 1.0])
def test_a_group_shares_the_guides_turns(chance: float) -> None:
    context = make_context(byte_tokenizer())
    engine = TracedEngine(chatter(context.chat, "left", "right"), context.chat.tokenizer)
    specs = group_specs([f"corridor-{n}" for n in (2, 3, 4, 5)] * 10, 3, seed=0, iteration=0)
    how = RollIn(chance, (1, 3), "solution")
    with Rollout(Corridor, engine, context, SamplingParams(), limits=Limits(max_turns=6), roll_in=how) as rollout:
        played = rollout.collect(specs).trajectories
    turns: dict[str, set[int]] = {}
    for trajectory in played:
        turns.setdefault(trajectory.group, set()).add(trajectory.extra.get("guided_turns", 0))
    assert len(played) == 120 and all(len(counts) == 1 for counts in turns.values())
    counts = [count for (count,) in turns.values()]
    guided = np.mean([count > 0 for count in counts])
    assert guided == chance if chance in (0.0, 1.0) else 0.2 < guided < 0.6
    if chance == 1.0:
        assert set(counts) == {1, 2, 3}
        assert {count for count, spec in zip(counts, specs[::3], strict=True) if spec.task_id == "corridor-2"} == {1, 2}


def test_a_turn_of_the_plan_is_left_to_the_policy() -> None:
    env = Corridor()
    for seed in range(20):
        env.reset(seed=seed, options={"task": "corridor-2"})
        count, guide = RollIn(1.0, (1, 100), "solution").draw(env, seed)
        assert 1 <= count <= 2
        assert [guide("", {}) for _ in range(count)] == ["right"] * count
        assert RollIn(1.0, (3, 9)).draw(env, seed)[0] == 0, "the plan is too short for the least"


@pytest.mark.parametrize(("limits", "guided"), [({"max_turns": 1}, 1), ({"max_context": 59}, 1)])
def test_limits_hold_for_the_guide_too(limits: dict[str, int], guided: int) -> None:
    trajectory, _ = play("append", TWO, limits=limits)
    assert trajectory.extra.get("guided_turns", 0) == guided == len(trajectory.turns)
    assert trajectory.outcome is Outcome.TRUNCATED and trajectory.turns[-1].truncated


def test_a_guide_may_end_the_episode() -> None:
    """A demonstrator that is faster than its plan leaves nothing to the policy."""

    class Detour(Corridor):
        def _solve(self) -> list[str]:
            return ["left", "right", *super()._solve()]

        def expert(self, rng: Any) -> Any:
            plan = iter(Corridor._solve(self))
            return lambda observation, info: next(plan)

    trajectory, engine = play("append", RollIn(1.0, (6, 6)), env=Detour())
    assert trajectory.success and len(trajectory.turns) == 5 and not engine.num_requests
    assert trajectory.sequences == [] and trajectory.num_tokens == 0


def test_a_guide_that_raises_is_an_accident_of_the_environment() -> None:
    class Broken(Corridor):
        def _solve(self) -> list[str]:
            raise ValueError("no map")

    trajectory, _ = play("append", TWO, env=Broken())
    assert trajectory.outcome is Outcome.ENV_ERROR and "no map" in trajectory.outcome_reason


def test_the_guides_tokens_cost_the_policy_nothing() -> None:
    trajectory, _ = play("append", TWO, "right", "right", "ring", limits={"max_sampled_tokens": 17})
    assert trajectory.success and trajectory.num_tokens == 17


def test_a_hint_stands_in_the_first_observation() -> None:
    trajectory, _ = play("append", None, *["right"] * 4, "ring", hint=0.5)
    first, *others = [turn.observation for turn in trajectory.turns]
    assert first.endswith("\n\nHint, the first steps of a plan: right; right; right.")
    assert not any("Hint" in observation for observation in others)
    plain, _ = play("append", None, *["right"] * 4, "ring")
    assert [turn.anchor for turn in plain.turns] == [turn.anchor for turn in trajectory.turns], "the state is the same"


@pytest.mark.parametrize(("share", "steps"), [(0.0, 0), (0.25, 1), (0.26, 2), (1.0, 4)])
def test_how_much_is_given_away(share: float, steps: int) -> None:
    note = hinted("Hall.", ["a", "b", "c", "d"], share)
    assert note.removeprefix("Hall.").count(";") + bool(steps) == steps
    assert hinted("Hall.", [], share) == "Hall."


def trajectories_of(roll_in: RollIn | None) -> list[Trajectory]:
    context = make_context(byte_tokenizer())
    engine = TracedEngine(chatter(context.chat, "left", "right", "ring"), context.chat.tokenizer)
    with Rollout(Corridor, engine, context, SamplingParams(), roll_in=roll_in) as rollout:
        return rollout.collect(group_specs(["corridor-2"] * 3, 2, seed=1, iteration=0)).trajectories


def test_a_chance_of_nothing_is_nothing() -> None:
    for one, other in zip(trajectories_of(RollIn(0.0)), trajectories_of(None), strict=True):
        assert one.turns == other.turns and one.extra == other.extra
        np.testing.assert_array_equal(one.sequences[0].ids_L, other.sequences[0].ids_L)


def test_bad_options() -> None:
    with pytest.raises(ConfigError, match="chance 2"):
        RollIn(2.0)
    with pytest.raises(ConfigError, match=r"turns \(3, 1\)"):
        RollIn(turns=(3, 1))

    class Lost(Corridor):
        _solve = TextEnv._solve

    with pytest.raises(ConfigError, match="my/Lost-v0 has none"):
        check_plans(Lost(), "my/Lost-v0", "rollout.roll_in")
    check_plans(Corridor(), "my/Corridor-v0", "rollout.roll_in")
