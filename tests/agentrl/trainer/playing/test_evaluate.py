"""Scores by hand, and evaluation of a scripted engine."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agentrl.context import make_context
from agentrl.engines.base import SamplingParams
from agentrl.engines.scripted import Line
from agentrl.hosts import make_host
from agentrl.rollout import Limits
from agentrl.trainer.config import DemonstratorConfig, EvalConfig
from agentrl.trainer.playing.collect import LostIterationError
from agentrl.trainer.playing.evaluate import Scores, eval_tasks, evaluate_demonstrator, evaluate_policy
from agentrl.update import distributed
from tests.agentrl.rollout.toys import Corridor, TracedEngine, byte_tokenizer

CONFIG = EvalConfig(split="train", tasks=3, samples=2)


def test_one_episode_per_task() -> None:
    summary = Scores("greedy", [[True]] * 8 + [[False]] * 2, [[4]] * 5 + [[6]] * 5).summary()
    assert summary == {
        "tasks": 10,
        "episodes": 10,
        "success": 0.8,
        "low": pytest.approx(0.4902, abs=1e-4),
        "high": pytest.approx(0.9433, abs=1e-4),
        "mean_turns": 5.0,
        "env_steps": 50,
        "accidents": 0,
    }


def test_several_episodes_per_task() -> None:
    rows = [[True, True, True, True], [True, False, False, False], [False] * 4, [True, True, False, False]]
    scores = Scores("sampled", rows, [[1, 2, 3, 4]] * 4, accidents=3)
    summary = scores.summary()
    assert summary["success"] == pytest.approx((1 + 1 / 4 + 0 + 1 / 2) / 4)
    assert summary["pass@2"] == pytest.approx((1 + 1 / 2 + 0 + 5 / 6) / 4)
    assert summary["pass@4"] == pytest.approx(3 / 4)
    assert (summary["episodes"], summary["mean_turns"], summary["accidents"]) == (16, 2.5, 3)
    assert "pass@8" not in summary
    assert scores.success.low < scores.success.mean < scores.success.high


def test_lost_episodes_shorten_a_row() -> None:
    scores = Scores("sampled", [[True, False], [True]], [[1, 1], [1]])
    assert scores.success.mean == pytest.approx(0.75)
    assert scores.pass_at(2).mean == 1.0, "the second task has too few episodes"
    assert "pass@2" not in scores.summary()


def test_nothing_played() -> None:
    scores = Scores("sampled", [], [])
    assert math.isnan(scores.success.mean) and scores.summary()["episodes"] == 0


def walker(chosen: Sequence[str]) -> TracedEngine:
    """Return an engine that plays the corridor right on tasks whose number of steps is in ``chosen``."""
    tokenizer = byte_tokenizer()
    context = make_context(tokenizer)

    def script(ids: NDArray[np.int32], rng: np.random.Generator) -> Line:
        text = context.chat.decode(ids)
        at = int(text.rsplit("You are at ", 1)[1].split(".")[0])
        start, bell = (int(text.split(key, 1)[1].split(".")[0]) for key in ("You are at ", "Ring the bell at "))
        action = "ring" if at == bell or str(bell - start) not in chosen else "right"
        return Line(context.chat.message(action).tolist())

    return TracedEngine(script, tokenizer)


def evaluated(
    engine: TracedEngine, world: Callable[[], Corridor], config: EvalConfig = CONFIG, **kwargs: Any
) -> Scores:
    """Evaluate an engine in a world, by eight tokens a turn."""
    settings = {"concurrency": 4, "greedy": True} | kwargs
    context = make_context(engine.tokenizer)
    return evaluate_policy(
        make_host(world), engine, context, config, SamplingParams(max_tokens=8), Limits(), **settings
    )


@pytest.mark.parametrize("greedy", [False, True])
def test_evaluate_policy(greedy: bool) -> None:
    engine = walker(["2", "4"])
    scores = evaluated(engine, lambda: Corridor(max_turns=6), greedy=greedy)
    samples = 1 if greedy else 2
    assert scores.mode == ("greedy" if greedy else "sampled")
    assert scores.successes_PK == [[True] * samples, [False] * samples, [True] * samples]
    assert scores.turns_PK == [[3] * samples, [6] * samples, [5] * samples]


def test_accidents_are_counted_and_not_as_failures() -> None:
    def fault(turn: int) -> None:
        if turn == 4:
            raise RuntimeError("the world broke")

    engine = walker(["2", "3", "4"])
    scores = evaluated(engine, lambda: Corridor(fault=fault), EvalConfig(split="train", tasks=3), concurrency=1)
    assert scores.successes_PK == [[True], [True]]
    assert scores.accidents == 3, "the attempt and two more"


def test_an_evaluation_in_which_everything_was_lost_says_so() -> None:
    def fault(turn: int) -> None:
        raise RuntimeError("the world broke")

    engine = walker([])
    with pytest.raises(LostIterationError, match=r"all 9 attempts at an evaluation's episodes.*the world broke"):
        evaluated(engine, lambda: Corridor(fault=fault), concurrency=2)


def test_evaluate_demonstrator() -> None:
    context = make_context(byte_tokenizer())
    scores = evaluate_demonstrator(make_host(Corridor), context, CONFIG, DemonstratorConfig(), Limits())
    assert scores.mode == "demonstrator"
    assert scores.successes_PK == [[True]] * 3 and scores.turns_PK == [[3], [4], [5]]


def test_eval_tasks() -> None:
    assert eval_tasks(Corridor, CONFIG) == ["corridor-2", "corridor-3", "corridor-4"]
    assert len(eval_tasks(Corridor, EvalConfig(split="train", tasks=None))) == 4
    assert len(eval_tasks(Corridor, EvalConfig(split="train", tasks=99))) == 4


def test_processes_share_the_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each process plays its part of the tasks, with the seeds that one process would give them."""
    whole = {}
    parts: list[set[str]] = []
    for size in (1, 2):
        for rank in range(size):
            monkeypatch.setattr(distributed, "world_size", lambda size=size: size)
            monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
            monkeypatch.setattr(distributed, "gather", lambda item: [item])
            monkeypatch.setattr(distributed, "all_sum", lambda values: values)
            engine = walker(["2"])
            scores = evaluated(engine, lambda: Corridor(max_turns=6))
            if size == 1:
                whole = {tuple(ids) for ids in engine.finished}
            else:
                parts.append({tuple(ids) for ids in engine.finished})
            assert len(scores.successes_PK) == (3 if size == 1 else 2 - rank)
    assert parts[0] | parts[1] == whole and not parts[0] & parts[1]


def test_interval_is_not_empty_where_nothing_succeeded() -> None:
    """The bootstrap of equal values has no spread; four tasks of two failures each do not prove a rate of 0."""
    interval = Scores("sampled", [[False, False]] * 4, [[1, 1]] * 4).success
    assert (interval.mean, interval.low) == (0.0, 0.0) and 0.4 < interval.high < 0.5
