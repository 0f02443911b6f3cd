import json

import numpy as np
import pytest

from agentrl.credit import SuccessTracker, TurnTable, spo
from agentrl.errors import ConfigError, DataError


def table(rewards, tasks, **more):
    count = len(rewards)
    return TurnTable.from_columns(group=tasks, trajectory=range(count), turn=[0] * count, reward=rewards, **more)


def test_golden_belief():
    tracker = SuccessTracker()
    assert tracker.value("t") == 0.5
    tracker.update("t", 1.0)  # 0.96·0.5 + 1, 0.96·0.5
    assert tracker.value("t") == pytest.approx(1.48 / 1.96)
    tracker.update("t", 0.0, divergence=1.0)  # forgets the most: 0.875·1.48, 0.875·0.48 + 1
    assert tracker.value("t") == pytest.approx(1.295 / (1.295 + 1.42))
    tracker.update("t", 0.0, divergence=0.06 * np.log2(1 / 0.9))  # ρ = 0.9
    assert tracker.value("t") == pytest.approx(0.9 * 1.295 / (0.9 * (1.295 + 1.42) + 1))


def test_golden_start():
    tracker = SuccessTracker()
    tracker.start("t", [1, 1, 1, 0, 0, 0, 0, 0])  # 8·3.5/9 and 8·5.5/9
    assert tracker.value("t") == pytest.approx(3.5 / 9)
    tracker.update("t", 1.0)
    assert tracker.value("t") == pytest.approx((0.96 * 28 / 9 + 1) / (0.96 * 8 + 1))
    tracker.start("new")
    assert tracker.value("new") == 0.5


def test_golden_advantages():
    tracker = SuccessTracker()
    tracker.start("easy", [1] * 8)  # 8.5/9
    surprise = np.array([1 - 8.5 / 9, -0.5])
    result = spo(table([1, 0], ["easy", "unknown"]), tracker=tracker, eps=0.0)
    np.testing.assert_allclose(result, (surprise - surprise.mean()) / surprise.std())
    assert tracker.value("unknown") == 0.5  # only read


def test_token_weights_centre_what_a_token_mean_sees():
    tokens = np.array([1, 5, 9])
    result = spo(table([1, 0, 1], ["a", "b", "c"], tokens=tokens), tracker=SuccessTracker(), weight="token")
    assert (tokens * result).sum() == pytest.approx(0.0, abs=1e-12)


def test_update_from_a_table_equals_single_updates():
    one, other = SuccessTracker(), SuccessTracker()
    one.update_from(table([1, 0, 5], ["a", "b", "a"], verdict=[True, True, False]), divergence={"b": 0.05})
    other.update("a", 1.0)
    other.update("b", 0.0, divergence=0.05)
    assert one.state_dict() == other.state_dict()


def test_the_state_survives_json():
    tracker, again = SuccessTracker(), SuccessTracker()
    tracker.update("a", 0.3)
    tracker.start("b", [1, 0])
    again.load_state_dict(json.loads(json.dumps(tracker.state_dict())))
    assert [again.value(task) for task in "abc"] == [tracker.value(task) for task in "abc"]


def test_coin_flips_are_drawn_most():
    tracker = SuccessTracker()
    tracker.start("hard", [0] * 8)
    easy, hard = tracker.sampling_weights(["even", "hard"])
    assert easy == pytest.approx(0.55)
    assert hard == pytest.approx(np.sqrt(0.5 / 9 * 8.5 / 9) + 0.05)


def test_what_is_no_success_rate_is_refused():
    with pytest.raises(DataError, match=r"return 10.* of task 't' is not in \[0, 1\]"):
        SuccessTracker().update("t", 10.0)
    with pytest.raises(DataError, match="is not in"):
        SuccessTracker().start("t", [0.5, -1])
    with pytest.raises(ConfigError, match="forget_min"):
        SuccessTracker(forget_min=0.99, forget_max=0.9)


def test_one_surprise_or_equal_ones_give_zero():
    for rewards in ([1.0], [1.0, 1.0, 1.0]):
        result = spo(table(rewards, [f"t{at}" for at in range(len(rewards))]), tracker=SuccessTracker())
        np.testing.assert_array_equal(result, 0.0)
