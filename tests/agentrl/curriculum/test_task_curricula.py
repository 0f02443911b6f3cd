"""Task curricula: the papers' rules by hand, and states that survive JSON."""

import json
from typing import Any

import numpy as np
import pytest

from agentrl.credit import SuccessTracker
from agentrl.curriculum import Difficulty, HistoryResampling, SuccessWeights, draw_tasks, make_curriculum
from agentrl.errors import ConfigError, DataError
from agentrl.seeding import generator

TASKS = ["easy", "mixed", "hard", "unseen"]
RETURNS = {"easy": [1.0, 1.0], "mixed": [1.0, 0.0], "hard": [0.0, 0.0]}


def shown(curriculum: Any) -> Any:
    for task, returns in RETURNS.items():
        curriculum.observe(task, returns)
    return curriculum


def test_history_leaves_out_what_was_always_solved_for_an_epoch() -> None:
    history = shown(HistoryResampling())
    assert history.weights(TASKS).tolist() == [1, 1, 1, 1], "the epoch goes on"
    history.end_epoch()
    assert history.weights(TASKS).tolist() == [0, 1, 1, 1]
    history.observe("mixed", [1.0, 1.0])
    history.end_epoch()
    assert history.weights(TASKS).tolist() == [1, 0, 1, 1]


def test_one_failure_in_an_epoch_is_enough_to_stay() -> None:
    history = HistoryResampling()
    for returns in ([1.0], [0.0], [1.0]):
        history.observe("task", returns)
    history.end_epoch()
    assert history.weights(["task"]).tolist() == [1]


def test_history_never_leaves_nothing() -> None:
    history = HistoryResampling()
    history.observe("easy", [1.0])
    history.end_epoch()
    assert history.weights(["easy"]).tolist() == [1]


def test_an_epoch_ends_after_so_many_groups() -> None:
    history = shown(HistoryResampling(4))
    assert history.weights(TASKS).tolist() == [1, 1, 1, 1]
    saved = json.loads(json.dumps(history.state_dict()))
    history = HistoryResampling(4)
    history.load_state_dict(saved)
    history.observe("easy", [1.0])
    assert history.weights(TASKS).tolist() == [0, 1, 1, 1]
    for _ in range(4):
        history.observe("mixed", [1.0])
    assert history.weights(TASKS).tolist() == [1, 0, 1, 1]


def test_success_weights_are_largest_at_a_coin_flip() -> None:
    curriculum = shown(SuccessWeights())
    easy, mixed, hard, unseen = curriculum.weights(TASKS)
    assert unseen == pytest.approx(0.5 + 0.05)
    assert mixed > max(easy, hard) > 0.05
    rate = curriculum.tracker.value("easy")
    assert easy == pytest.approx(np.sqrt(rate * (1 - rate)) + 0.05)


def test_success_weights_may_share_a_tracker() -> None:
    tracker = SuccessTracker()
    tracker.start("known", [1.0] * 8)
    assert SuccessWeights(tracker).weights(["known"])[0] < SuccessWeights().weights(["known"])[0]


@pytest.mark.parametrize(
    ("mean", "level", "scale"),
    [(0.0, "hard", 0.5), (0.3, "hard", 0.5), (0.31, "medium", 1), (0.7, "medium", 1), (0.75, "solved", 1)],
)
def test_difficulty(mean: float, level: str, scale: float) -> None:
    difficulty = Difficulty()
    assert difficulty.level("task") == "unknown" and difficulty.kl_scale("task") == 1.0
    difficulty.observe("task", [1.0])
    difficulty.observe("task", [mean, mean])
    difficulty.observe("task", [])
    assert (difficulty.level("task"), difficulty.kl_scale("task")) == (level, scale)


def test_solved_tasks_come_less_often() -> None:
    assert shown(Difficulty(solved_weight=0.1)).weights(TASKS).tolist() == [0.1, 1, 1, 1]


@pytest.mark.parametrize("kind", [HistoryResampling, SuccessWeights, Difficulty])
def test_state_survives(kind: type[Any]) -> None:
    one, other = shown(kind()), kind()
    if kind is HistoryResampling:
        one.end_epoch()
        one.observe("mixed", [1.0])
    other.load_state_dict(json.loads(json.dumps(one.state_dict())))
    assert other.state_dict() == one.state_dict() != kind().state_dict()
    if kind is Difficulty:
        assert [other.level(task) for task in TASKS] == [one.level(task) for task in TASKS]
    else:
        assert other.weights(TASKS).tolist() == one.weights(TASKS).tolist() != kind().weights(TASKS).tolist()


@pytest.mark.parametrize("kind", [HistoryResampling, SuccessWeights, Difficulty])
def test_returns_are_rates(kind: type[Any]) -> None:
    with pytest.raises(DataError, match=r"return 10.0 of task 'task' is not in \[0, 1\]"):
        kind().observe("task", [1.0, 10.0])


def test_bad_bounds() -> None:
    with pytest.raises(ConfigError, match=r"hard is 0.7 and medium 0.3"):
        Difficulty(hard=0.7, medium=0.3)
    with pytest.raises(ConfigError, match="floor is 0"):
        SuccessWeights(floor=0.0)
    with pytest.raises(ConfigError, match="solved_weight is 0"):
        Difficulty(solved_weight=0.0)
    with pytest.raises(ConfigError, match="epoch_groups is 0"):
        HistoryResampling(0)


def test_drawn_as_often_as_they_weigh() -> None:
    """The tasks of a hundred draws, each of its own: within four standard deviations of the weights' shares."""
    curriculum = shown(Difficulty(solved_weight=0.25))
    rng = generator(0, "test")
    drawn = [draw_tasks(TASKS, 1, rng, curriculum)[0] for _ in range(1000)]
    for task, weight in zip(TASKS, curriculum.weights(TASKS), strict=True):
        share = weight / 3.25
        assert abs(drawn.count(task) - 1000 * share) < 4 * np.sqrt(1000 * share * (1 - share))


def test_drawn_without_repetition_while_there_are_enough() -> None:
    history = shown(HistoryResampling(3))
    for seed in range(20):
        rng = generator(seed, "test")
        assert sorted(draw_tasks(TASKS, 3, rng, history)) == ["hard", "mixed", "unseen"]
        more = draw_tasks(TASKS, 4, rng, history)
        assert len(more) == 4 and "easy" not in more
        assert len(set(draw_tasks(TASKS, 4, rng))) == 4
        assert set(draw_tasks(TASKS, 9, rng)) <= set(TASKS)


def test_by_name() -> None:
    assert make_curriculum("uniform", num_tasks=4) is None
    assert isinstance(make_curriculum("spo", num_tasks=4), SuccessWeights)
    clpo = make_curriculum("clpo", num_tasks=4, solved_weight=0.5)
    assert clpo is not None and shown(clpo).weights(TASKS).tolist() == [0.5, 1, 1, 1]
    history = make_curriculum("srpo_history", num_tasks=3)
    assert history is not None and shown(history).weights(TASKS).tolist() == [0, 1, 1, 1]
    with pytest.raises(ConfigError, match="did you mean 'srpo_history'"):
        make_curriculum("srpo_histroy", num_tasks=4)  # type: ignore[arg-type]
