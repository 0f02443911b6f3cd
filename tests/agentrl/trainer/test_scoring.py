"""The passes of the policy between playing and credit: hindsight, and the right answer."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from agentrl.context import make_context
from agentrl.env import Outcome
from agentrl.errors import ConfigError
from agentrl.trainer.loop import run_training
from agentrl.trainer.run import Run
from agentrl.trainer.scoring import NOTE, Scorer
from agentrl.trainer.setup import check_algorithm
from agentrl.types import TokenSequence, Trajectory
from agentrl.update.batch import Sample
from tests.agentrl.rollout.toys import byte_tokenizer
from tests.agentrl.trainer.lookup import ID
from tests.agentrl.trainer.tiny import assert_same_run, records, run_in_two_parts, tiny_config
from tests.agentrl.update.samples import trajectory

CONTEXT = make_context(byte_tokenizer())
SMALL: dict[str, Any] = {
    "warm_start": {"demonstrations": 20, "steps": 20},
    "rollout": {"tasks_per_iteration": 2},
    "eval": {"tasks": 1, "greedy": False},
}


class Policy:
    """Stands for a model: the log-prob of a token is minus its place in the sequence."""

    def __init__(self) -> None:
        self.asked: list[Sample] = []

    def __call__(self, samples: Sequence[Sample]) -> list[NDArray[np.float32]]:
        self.asked += samples
        places = [-np.arange(len(sample), dtype=np.float32) for sample in samples]
        return [np.where(np.isfinite(s.advantages_L), row, 0.0) for s, row in zip(samples, places, strict=True)]


def episode(*actions: str, window: bool = False, name: str = "t") -> Trajectory:
    """Return an episode of these messages, written as a conversation or as a fresh prompt for each turn."""
    chat, sequences = CONTEXT.chat, []
    ids, turns = np.zeros(0, np.int32), np.zeros(0, np.int32)
    for turn, action in enumerate(actions):
        is_first = window or not turn
        fed = chat.opening(f"see {turn}") if is_first else chat.following(f"see {turn}", ended=True)
        said = chat.message(action)
        ids = np.concatenate([*([] if is_first else [ids]), fed, said])
        marks = [*([] if is_first else [turns]), np.full(len(fed), -1, np.int32), np.full(len(said), turn, np.int32)]
        turns = np.concatenate(marks)
        if window or turn + 1 == len(actions):
            nothing = np.zeros(len(ids), np.float32)
            sequences.append(TokenSequence(ids, turns >= 0, nothing, nothing, turns))
    played = trajectory(*sequences, name=name)
    played.outcome, played.final_observation = Outcome.FAILURE, "the end"
    return played


@pytest.mark.parametrize("window", [False, True])
def test_hindsight_is_scored_behind_the_note(window: bool) -> None:
    played, policy = episode("go", "stay", window=window), Policy()
    found = Scorer(CONTEXT, policy, 10_000).hindsight([played])
    note = CONTEXT.chat.encode(NOTE.format(observation="the end"))
    expected: dict[int, list[int]] = {0: [], 1: []}
    for sequence, sample in zip(played.sequences, policy.asked, strict=True):
        told = sample.sequence.ids_L
        prefix = len(CONTEXT.chat.opening()) - len(CONTEXT.chat._to_assistant)
        np.testing.assert_array_equal(told[prefix : prefix + len(note)], note)
        np.testing.assert_array_equal(np.delete(told, slice(prefix, prefix + len(note))), sequence.ids_L)
        for place in np.flatnonzero(sequence.action_mask_L).tolist():
            expected[int(sequence.turns_L[place])].append(-(place + len(note)))
    np.testing.assert_allclose(found, [np.mean(expected[0]), np.mean(expected[1])])


def test_a_note_is_cut_to_the_room_there_is() -> None:
    played, policy = episode("go", "stay"), Policy()
    length = len(played.sequences[0])
    for room in (0, 3):
        Scorer(CONTEXT, policy, length + room).hindsight([played])
        assert len(policy.asked[-1]) == length + room


def test_only_episodes_with_a_verdict_and_whole_turns_are_asked_about() -> None:
    lost, cut, policy = episode("go", "stay", name="lost"), episode("go", "stay", name="cut"), Policy()
    lost.outcome = Outcome.INFRA_LOST
    cut.turns.pop()  # its tokens are there, the world never answered
    found = Scorer(CONTEXT, policy, 10_000).hindsight([lost, cut, episode("go")])
    assert np.isnan(found[:2]).all() and np.isfinite(found[2:]).all() and len(found) == 4
    alone = Scorer(CONTEXT, policy, 10_000).hindsight([cut])
    np.testing.assert_array_equal(found[2:3], alone)
    assert len(Scorer(CONTEXT, policy, 10_000).hindsight([])) == 0


@pytest.mark.parametrize("window", [False, True])
def test_gains_are_differences_of_the_answers_probability(window: bool) -> None:
    played, policy = episode("look", "look", "red", window=window), Policy()
    played.answer = "red"
    found = Scorer(CONTEXT, policy, 10_000).information_gains([played])
    likely = []
    for turn, sample in enumerate(policy.asked):
        sequence = played.sequences[turn if window else 0]
        start = int(np.flatnonzero(sequence.turns_L == turn)[0])
        np.testing.assert_array_equal(sample.sequence.ids_L[:start], sequence.ids_L[:start])
        np.testing.assert_array_equal(sample.sequence.ids_L[start:], CONTEXT.chat.encode("red"))
        likely.append(np.exp(-np.mean(np.arange(start, len(sample)))))
    np.testing.assert_allclose(found, [likely[1] - likely[0], likely[2] - likely[1], 0.0], rtol=1e-6)


def test_what_a_protocol_puts_around_an_answer_is_not_scored() -> None:
    context = make_context(byte_tokenizer(), protocol="tags")
    played, policy = episode("red"), Policy()
    played.answer = "red"
    Scorer(context, policy, 10_000).information_gains([played])
    (sample,) = policy.asked
    told = context.chat.decode(sample.sequence.ids_L)
    assert told.endswith("<action>red") and sample.num_scored == len(context.chat.encode("red"))


def test_gains_are_zero_where_nothing_is_known() -> None:
    answered, silent, policy = episode("look", "red"), episode("look", "red"), Policy()
    answered.answer = "red"
    assert Scorer(CONTEXT, policy, 10_000).information_gains([silent, silent]).tolist() == [0.0] * 4
    assert Scorer(CONTEXT, policy, 5).information_gains([answered]).tolist() == [0.0] * 2  # no room
    assert policy.asked == []


def test_shares_of_processes_make_the_whole() -> None:
    played = [episode("look", "red", name=str(number)) for number in range(3)]
    for one in played:
        one.answer = "red"
    scorer = Scorer(CONTEXT, Policy(), 10_000)
    needs = frozenset({"hindsight", "answers"})
    whole, first, second = (scorer.columns(part, needs) for part in (played, played[:1], played[1:]))
    assert set(whole) == {"hindsight", "step_reward"}
    assert whole == {name: first[name] + second[name] for name in whole}


def test_nothing_is_asked_of_the_policy_that_no_algorithm_needs() -> None:
    policy = Policy()
    assert Scorer(CONTEXT, policy, 10_000).columns([episode("go")], frozenset({"entropy"})) == {}
    assert policy.asked == []


def test_an_environment_without_answers_is_refused(tmp_path: Path) -> None:
    config = tiny_config(tmp_path / "run", algorithm={"name": "salt", "base": "igpo"})
    with pytest.raises(ConfigError, match="needs answers: agentrl/Maze-v0 tells none"):
        check_algorithm(config)
    check_algorithm(tiny_config(tmp_path / "run", algorithm={"name": "igpo"}, env={"id": ID, "kwargs": {}}))


def test_hcapo_by_configuration_alone_and_in_two_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = SMALL | {"algorithm": {"name": "hcapo", "smoothing": 0.5}, "run": {"iterations": 2}}
    assert run_training(tiny_config(tmp_path / "whole", **changes)) == 0
    assert [one["index"] for one in records(tmp_path / "whole") if one["stage"] == "reinforce"] == [1, 2]
    run_in_two_parts(tmp_path / "parts", monkeypatch, 1, **changes)
    assert_same_run(tmp_path / "whole", tmp_path / "parts")


def test_igpo_by_configuration_alone(tmp_path: Path) -> None:
    changes = SMALL | {"algorithm": {"name": "igpo"}, "env": {"id": ID, "kwargs": {}}, "run": {"iterations": 2}}
    assert run_training(tiny_config(tmp_path / "run", **changes)) == 0
    done = [one for one in records(tmp_path / "run") if one["stage"] == "reinforce"]
    assert [one["index"] for one in done] == [1, 2] and done[-1]["grad_norm"] > 0


def test_a_run_scores_as_the_policys_own_forward_pass(tmp_path: Path) -> None:
    world = {"id": ID, "kwargs": {}}
    changes = SMALL | {"algorithm": {"name": "igpo"}, "env": world, "run": {"iterations": 0}}
    with Run(tiny_config(tmp_path / "run", **changes)) as run:
        run.warm_start()
        played = run.collect().trajectories
        assert {one.answer for one in played} <= {"red", "green", "blue"} and played[0].final_observation
        columns = run.learner.score(played, frozenset({"hindsight", "answers"}))
        encode, row = run.player.context.chat.encode, 0
        for one in played:
            (sequence,) = one.sequences
            note = encode(NOTE.format(observation=one.final_observation))
            at = len(run.player.context.chat._prefix)
            told = np.insert(sequence.ids_L, at, note)
            logprobs = own_logprobs(run.model, told)
            for turn in range(len(one.turns)):
                places = np.flatnonzero(sequence.turns_L == turn) + len(note)
                assert columns["hindsight"][row + turn] == pytest.approx(float(logprobs[places - 1].mean()), abs=1e-4)
            answer = encode(str(one.answer))
            starts = [int(np.flatnonzero(sequence.turns_L == turn)[0]) for turn in range(len(one.turns))]
            asked = [np.concatenate([sequence.ids_L[:start], answer]) for start in starts]
            likely = [np.exp(own_logprobs(run.model, ids)[-len(answer) :].mean()) for ids in asked]
            gains = [*np.diff(likely), 0.0]
            np.testing.assert_allclose(columns["step_reward"][row : row + len(gains)], gains, atol=1e-5)
            row += len(one.turns)
        assert row == len(columns["hindsight"])


def own_logprobs(model: Any, ids: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return ln p of each id after the first, by the model alone."""
    with torch.no_grad():
        logits = model(torch.as_tensor(ids.astype(np.int64))[None]).logits[0].double()
    return logits.log_softmax(-1)[torch.arange(len(ids) - 1), torch.as_tensor(ids[1:].astype(np.int64))].numpy()
