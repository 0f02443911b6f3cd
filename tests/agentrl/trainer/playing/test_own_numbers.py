"""What a world measures itself reaches records and evaluations."""

import pytest

from agentrl.context import make_context
from agentrl.rollout import demonstrate
from agentrl.trainer.playing.evaluate import Scores
from agentrl.trainer.playing.own_numbers import means_of, own_numbers
from tests.agentrl.rollout.toys import byte_tokenizer
from tests.contract import toy


class Measured(toy.Line):
    def _metrics(self) -> dict[str, float]:
        return {"left": float(abs(self.goal - self.at))}


def test_the_last_numbers_of_an_episode_are_kept_and_averaged() -> None:
    shown = demonstrate(Measured, ["train/0", "train/1"], make_context(byte_tokenizer()), seed=0).trajectories
    numbers = [own_numbers(trajectory) for trajectory in shown]
    assert numbers == [{"score": 1.0, "env/left": 0.0}] * 2
    means = means_of([numbers, [{"score": 0.0}, {"score": 0.0, "env/left": 3.0}]])
    assert means == {"score": 0.5, "env/left": pytest.approx(1.0)}
    summary = Scores("greedy", [[True]], [[1]], means=means).summary()
    assert (summary["success"], summary["score"], summary["env/left"]) == (1.0, 0.5, 1.0)
