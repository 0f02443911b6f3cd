"""The figure of docs/viewer.md, without a model: python docs/figures/make_forest.py

A scripted policy plays the generated household. At each turn it is sure to a degree q, drawn anew, of the expert's
action, and spreads 1 - q evenly over the other admissible actions; so its entropy is known exactly. Three episodes
begin at the start; five more are forked, by snapshot and restore, where the episodes so far were least certain.
"""

from pathlib import Path
from typing import Any

import numpy as np

import agentrl
from agentrl.env import Outcome, Snapshot, TextEnv
from agentrl.making import make
from agentrl.rollout import anchor_digest
from agentrl.seeding import generator
from agentrl.types import BranchPoint, Trajectory, Turn
from agentrl.viewer.layout import lay_out
from agentrl.viewer.picture import draw_forest

ROOTS, BRANCHES, TASK, SEED = 3, 5, 10, 4  # a task on which there is something of everything to see
Point = tuple[Snapshot, str, dict[str, Any]]
"""A place to fork at: the world, what is seen there and what is known of it."""


class Player:
    """Plays trajectories of one group and remembers every point that it came through."""

    def __init__(self, env: TextEnv) -> None:
        self.env = env
        self.task = env.tasks.ids("train")[TASK]
        self.rng = generator(SEED, "forest")
        self.played: list[Trajectory] = []
        self.points: dict[tuple[str, int], Point] = {}

    def begin(self) -> None:
        """Play an episode from the start."""
        observation, info = self.env.reset(seed=SEED, options={"task": self.task})
        self._play([], None, observation, info)

    def branch(self) -> None:
        """Fork at the least certain turn that is left, and play on from there; no point is used twice."""
        turns = {(one.id, turn.index): turn for one in self.played for turn in one.turns}
        parent, at = max(self.points, key=lambda key: turns[key].mean_entropy)
        snapshot, observation, info = self.points.pop((parent, at))
        self.env.restore(snapshot)
        shared = next(one for one in self.played if one.id == parent).turns[:at]
        self._play(shared, BranchPoint(parent, at), observation, info)

    def _play(self, shared: list[Turn], parent: BranchPoint | None, observation: str, info: dict[str, Any]) -> None:
        one = Trajectory(f"group/{len(self.played)}", "group", self.task, SEED, list(shared), parent=parent)
        self.played.append(one)
        ended = False
        while not ended:
            turn = len(one.turns)
            if turn > (0 if parent is None else parent.turn):
                self.points[one.id, turn] = (self.env.snapshot(), observation, info)
            action, entropy = self._choose(info["admissible_actions"])
            anchor, seen = anchor_digest(info["anchor_key"]), observation
            observation, reward, terminated, truncated, info = self.env.step(action)
            one.turns.append(
                Turn(turn, seen, action, action, info["action_valid"], reward, anchor, mean_entropy=entropy)
            )
            ended = terminated or truncated
        one.outcome, one.success = Outcome(info["outcome"]), info["success"]

    def _choose(self, admissible: list[str]) -> tuple[str, float]:
        """Return an action and the entropy, in nats, of the distribution that it was drawn from."""
        right, sure = self.env.solution()[0], self.rng.beta(4, 1)
        others = [action for action in admissible if action != right]
        chances = np.array([sure, *[(1 - sure) / len(others)] * len(others)])
        return str(self.rng.choice([right, *others], p=chances)), float(-(chances * np.log(chances)).sum())


def main() -> None:
    """Play and draw."""
    player = Player(make("agentrl/Household-v0", max_turns=9))
    for _ in range(ROOTS):
        player.begin()
    for _ in range(BRANCHES):
        player.branch()
    path = Path(__file__).with_name("forest.png")
    draw_forest(lay_out(player.played), path, f"{player.task}: {ROOTS} episodes and {BRANCHES} branches")
    print(path)


if __name__ == "__main__":
    assert agentrl.__doc__  # importing it registers the environments
    main()
