"""Records of the wrong form are refused, with the field and what it should be."""

import dataclasses
from typing import Any

import pytest

from agentrl.errors import DataError
from agentrl.storage.record_check import check_record, check_trajectory
from agentrl.types import BranchPoint, Trajectory, Turn
from tests.agentrl.rollout.forests import family

TURN: dict[str, Any] = dataclasses.asdict(family()[0].turns[0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reward": "x"}, "it: reward is 'x', expected a number"),
        ({"reward": True}, "it: reward is True, expected a number"),
        ({"reward": 10**400}, r"it: reward is 10+…, expected a number"),
        ({"index": 1.5}, "it: index is 1.5, expected a whole number"),
        ({"action": None}, "it: action is None, expected text"),
        ({"action_valid": 1}, "it: action_valid is 1, expected true or false"),
        ({"stop_reason": "tired"}, "it: stop_reason is 'tired', expected one of end, stop_string"),
        ({"rewart": 1.0}, "it has an unknown field 'rewart'; did you mean 'reward'"),
    ],
)
def test_fields_are_of_their_types(changes: dict[str, Any], message: str) -> None:
    check_record(Turn, TURN | {"reward": 1}, "it")
    with pytest.raises(DataError, match=message):
        check_record(Turn, TURN | changes, "it")


def test_fields_are_all_there() -> None:
    with pytest.raises(DataError, match="it has no field 'observation'"):
        check_record(Turn, {name: value for name, value in TURN.items() if name != "observation"}, "it")
    with pytest.raises(DataError, match=r"it is \[\], expected a mapping"):
        check_record(BranchPoint, [], "it")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: setattr(t.turns[1], "index", 5), "turn 1 of trajectory 'child' has the index 5"),
        (lambda t: setattr(t.turns[1], "num_tokens", -1), "turn 1 of trajectory 'child' has -1 tokens"),
        (lambda t: setattr(t, "kept_turns", 9), "trajectory 'child' kept 9 of 4 turns"),
        (lambda t: setattr(t, "parent", BranchPoint("root", 7)), "trajectory 'child' branches at turn 7"),
        (lambda t: t.sequences[0].turns_L.fill(4), "tokens of trajectory 'child' name turns that it does not have"),
    ],
)
def test_parts_fit_one_another(change: Any, message: str) -> None:
    child: Trajectory = family()[1]
    check_trajectory(child, "it")
    change(child)
    with pytest.raises(DataError, match=message):
        check_trajectory(child, "it")
