"""One episode: what is recorded, what ends it, who is blamed."""

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from agentrl.context import Context, make_context
from agentrl.engines.base import SamplingParams
from agentrl.env import Outcome, TurnResult, advance
from agentrl.errors import ConfigError, TaskNotFoundError
from agentrl.hosts.inline import held
from agentrl.rollout import EpisodeSpec, Limits, anchor_digest, play_episode
from agentrl.rollout.limits import NO_LIMITS
from agentrl.types import StopReason, Trajectory
from tests.agentrl.rollout.toys import Corridor, TracedEngine, byte_tokenizer, chatter, recite

SPEC = EpisodeSpec("g/0", "g", "corridor-2", env_seed=5, sampling_seed=11)
WIN = ("right", "right", "ring")


@pytest.fixture
def context() -> Context:
    return make_context(byte_tokenizer())


def play(
    env: Corridor, engine: TracedEngine, context: Context, limits: Limits = NO_LIMITS, **params: Any
) -> Trajectory:
    trajectory = asyncio.run(play_episode(held(env), engine, context, SPEC, SamplingParams(**params), limits))
    assert engine.num_open == 0, "a session was leaked"
    return trajectory


def reciting(context: Context, *texts: str, **kwargs: Any) -> TracedEngine:
    return TracedEngine(recite(context.chat, *texts), context.chat.tokenizer, **kwargs)


def test_a_solved_episode_is_recorded_turn_by_turn(context: Context) -> None:
    trajectory = play(Corridor(), reciting(context, "right", "jump", " right\n", "ring"), context)
    assert (trajectory.id, trajectory.group, trajectory.task_id, trajectory.seed) == ("g/0", "g", "corridor-2", 5)
    assert (trajectory.outcome, trajectory.outcome_reason) == (Outcome.SUCCESS, "task solved")
    assert (trajectory.success, trajectory.score, trajectory.total_reward) == (True, 1.0, 0.9)
    turns = trajectory.turns
    assert [turn.index for turn in turns] == [0, 1, 2, 3]
    assert [turn.response for turn in turns] == ["right", "jump", " right\n", "ring"]
    assert [turn.action for turn in turns] == ["right", "jump", "right", "ring"]
    assert [turn.action_valid for turn in turns] == [True, False, True, True]
    assert [turn.reward for turn in turns] == [0.0, -0.1, 0.0, 1.0]
    assert [turn.terminated for turn in turns] == [False, False, False, True]
    assert not any(turn.truncated for turn in turns)
    assert [turn.num_tokens for turn in turns] == [6, 5, 8, 5]
    assert {turn.policy_version for turn in turns} == {7}
    assert turns[0].observation.startswith("You are at")
    assert turns[2].observation == "Nothing happens."
    # The failed jump left the state as it was: an anchor.
    assert turns[1].anchor == turns[2].anchor
    assert len({turn.anchor for turn in turns}) == 3
    assert len(turns[0].anchor) == 32


def test_the_end_of_an_episode_is_recorded(context: Context) -> None:
    env = Corridor()
    trajectory = play(env, reciting(context, *WIN), context)
    assert trajectory.final_anchor == anchor_digest(("ended", True, env._anchor_key()))
    assert trajectory.final_observation == env._last_observation
    assert trajectory.answer is None
    # A limit ends it where the next turn would have begun.
    cut = play(Corridor(), reciting(context, *WIN), context, Limits(max_turns=2))
    assert cut.final_anchor == trajectory.turns[2].anchor
    assert cut.final_observation == trajectory.turns[2].observation


@pytest.mark.parametrize("kind", ["append", "window"])
@pytest.mark.parametrize("protocol", ["bare", "tags"])
def test_what_is_trained_on_is_what_the_engine_saw(kind: str, protocol: str) -> None:
    context = make_context(byte_tokenizer(), kind, protocol=protocol)
    texts = [context.protocol.write(action) for action in ("left", "right", "ring")]
    engine = TracedEngine(chatter(context.chat, *texts), context.chat.tokenizer)
    trajectory = play(Corridor(max_turns=6), engine, context)
    assert [sequence.ids_L.tolist() for sequence in trajectory.sequences] == engine.finished
    sampled = np.concatenate([s.ids_L[s.action_mask_L] for s in trajectory.sequences])
    ended = protocol == "bare"  # a message that a stop string ends has no end-of-message token
    said = [context.chat.message(turn.response, ended=ended) for turn in trajectory.turns]
    np.testing.assert_array_equal(sampled, np.concatenate(said))
    per_turn = [
        np.concatenate([s.entropies_L[s.turns_L == turn.index] for s in trajectory.sequences])
        for turn in trajectory.turns
    ]
    assert [len(column) for column in per_turn] == [turn.num_tokens for turn in trajectory.turns]
    np.testing.assert_allclose([c.mean() for c in per_turn], [t.mean_entropy for t in trajectory.turns], rtol=1e-6)
    assert len(trajectory.sequences) == (1 if kind == "append" else len(trajectory.turns))


def test_both_contexts_have_the_same_loss_targets() -> None:
    targets = []
    for kind in ("append", "window"):
        context = make_context(byte_tokenizer(), kind)
        trajectory = play(Corridor(), reciting(context, "left", "right", *WIN), context)
        targets.append(
            [
                np.concatenate([getattr(s, name)[s.action_mask_L] for s in trajectory.sequences]).tolist()
                for name in ("ids_L", "turns_L", "behavior_logprobs_L")
            ]
        )
        assert trajectory.success
    assert targets[0] == targets[1]


def test_a_message_that_breaks_the_protocol_is_a_turn_like_any_other() -> None:
    context = make_context(byte_tokenizer(), protocol="tags")
    engine = reciting(context, "<action>right</action>", "right", context.protocol.write("ring"))
    trajectory = play(Corridor(), engine, context)
    turns = trajectory.turns
    assert [turn.action for turn in turns] == ["right", "right", "ring"]
    # The world moved each time; the protocol was broken in the first two.
    assert [turn.action_valid for turn in turns] == [False, False, True]
    assert turns[2].stop_reason is StopReason.STOP_STRING


def test_a_turn_that_spends_its_tokens_is_played_as_it_is(context: Context) -> None:
    trajectory = play(Corridor(max_turns=2), reciting(context, "right", "right"), context, max_tokens=3)
    assert [turn.action for turn in trajectory.turns] == ["rig", "rig"]
    assert {turn.stop_reason for turn in trajectory.turns} == {StopReason.MAX_TOKENS}
    (sequence,) = trajectory.sequences
    assert int(sequence.action_mask_L.sum()) == 6
    # The end that was never sampled is in the sequence, as glue.
    assert context.chat.end_id not in sequence.ids_L[sequence.action_mask_L]
    assert context.chat.end_id in sequence.ids_L


@pytest.mark.parametrize(
    ("limits", "turns", "tokens", "reason"),
    [
        (Limits(max_turns=3), 3, 18, "turn limit of 3 reached"),
        (Limits(max_sampled_tokens=12), 2, 12, "budget of 12 sampled tokens spent"),
        (Limits(max_sampled_tokens=14), 3, 14, "budget of 14 sampled tokens spent"),
        (Limits(max_context=80), 2, 12, "context of 80 tokens has no room"),
    ],
)
def test_limits_truncate(context: Context, limits: Limits, turns: int, tokens: int, reason: str) -> None:
    trajectory = play(Corridor(), reciting(context, *["right"] * 20), context, limits)
    assert trajectory.outcome is Outcome.TRUNCATED
    assert reason in trajectory.outcome_reason
    assert (len(trajectory.turns), trajectory.num_tokens) == (turns, tokens)
    assert [turn.truncated for turn in trajectory.turns] == [False] * (turns - 1) + [True]
    assert not trajectory.success
    assert len(trajectory.sequences[0]) <= (limits.max_context or 4096)


def test_the_worlds_own_turn_limit_truncates(context: Context) -> None:
    trajectory = play(Corridor(max_turns=2), reciting(context, "left", "left"), context)
    assert (trajectory.outcome, trajectory.outcome_reason) == (Outcome.TRUNCATED, "turn limit of 2 reached")
    assert [turn.truncated for turn in trajectory.turns] == [False, True]


def test_a_verdict_on_the_last_allowed_turn_stands(context: Context) -> None:
    trajectory = play(Corridor(), reciting(context, *WIN), context, Limits(max_turns=3, max_sampled_tokens=17))
    assert trajectory.outcome is Outcome.SUCCESS


def test_the_engines_context_is_filled_to_the_last_token(context: Context) -> None:
    trajectory = play(Corridor(), reciting(context, *["right"] * 20, max_context=100), context)
    assert trajectory.outcome is Outcome.TRUNCATED
    assert len(trajectory.sequences[0]) <= 100
    assert trajectory.sequences[0].action_mask_L[-1]


def test_a_first_prompt_that_does_not_fit_is_no_verdict(context: Context) -> None:
    trajectory = play(Corridor(), reciting(context, max_context=10), context)
    assert trajectory.outcome is Outcome.INFRA_LOST
    assert "context of 10 tokens has no room" in trajectory.outcome_reason
    assert not trajectory.turns
    assert not trajectory.sequences


def fault_at(turn: int) -> Callable[[int], None]:
    def fault(now: int) -> None:
        if now == turn:
            raise RuntimeError("the floor gave way")

    return fault


def test_a_world_that_raises_ends_its_episode_as_an_error(context: Context) -> None:
    trajectory = play(Corridor(fault=fault_at(1)), reciting(context, *WIN), context)
    assert trajectory.outcome is Outcome.ENV_ERROR
    assert trajectory.outcome_reason == "RuntimeError in turn 1: the floor gave way"
    assert [turn.action for turn in trajectory.turns] == ["right", "right"]
    assert trajectory.turns[-1].truncated
    assert trajectory.total_reward == 0
    assert int(trajectory.sequences[0].turns_L.max()) == 1


def test_a_world_that_cannot_be_reset_is_an_error(context: Context) -> None:
    env = Corridor()
    env.close()
    trajectory = play(env, reciting(context), context)
    assert trajectory.outcome is Outcome.ENV_ERROR
    assert trajectory.outcome_reason.startswith("OrderError in reset: ")


def test_a_reward_that_is_no_number_is_the_worlds_error(context: Context) -> None:
    class Broken(Corridor):
        def _advance(self, action: str) -> TurnResult:
            return advance("", reward=float("nan"))

    trajectory = play(Broken(), reciting(context, "left"), context)
    assert trajectory.outcome is Outcome.ENV_ERROR
    assert "reward of nan" in trajectory.outcome_reason
    assert trajectory.total_reward == 0


def test_an_engine_that_fails_loses_the_episode(context: Context) -> None:
    trajectory = play(Corridor(), reciting(context, *WIN, fail_at=2), context)
    assert trajectory.outcome is Outcome.INFRA_LOST
    assert trajectory.outcome_reason == "EngineError in turn 1: the device is gone"
    assert len(trajectory.turns) == 1


def test_a_task_that_does_not_exist_is_misuse(context: Context) -> None:
    spec = EpisodeSpec("g/0", "g", "corridor-99", 0, 0)
    with pytest.raises(TaskNotFoundError):
        asyncio.run(play_episode(held(Corridor()), reciting(context), context, spec, SamplingParams()))


@pytest.mark.parametrize("name", ["max_turns", "max_sampled_tokens", "max_context"])
def test_a_limit_below_one_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}=0"):
        Limits(**{name: 0})
