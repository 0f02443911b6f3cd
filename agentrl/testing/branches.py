"""The law of branching samplers: a fork of an episode is that episode, as long as it does the same."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from agentrl.context.append import AppendContext
from agentrl.context.chat import ChatFormat
from agentrl.context.protocols import ActionProtocol, ParsedAction
from agentrl.engines.base import SamplingParams
from agentrl.engines.scripted import Line, ScriptedEngine
from agentrl.rollout import Rollout
from agentrl.rollout.branching import FRESH, Path, Plan, Sampler, Start
from agentrl.rollout.group import EpisodeSpec
from agentrl.testing.case import Case, Episode, law
from agentrl.types import Trajectory

_REPLY = 0
_VERBATIM = ActionProtocol("verbatim", None, (), lambda text: ParsedAction(text, True), str)


@law
def check_branch(case: Case) -> None:
    """A branch that does what its parent does gives the parent's trajectory: turns, tokens, rewards and ending."""
    for episode in case.episodes(case.factory()) if case.env.is_stateless else case.branching():
        episode.wander(case.turns // 2)
        if not episode.ended:
            episode.play(episode.env.solution() or [])
        parent, *branches = _branched(case, episode)
        for branch in branches:
            assert branch.parent is not None
            difference = _difference(parent, branch)
            episode.require(
                not difference, f"Branched at turn {branch.parent.turn} with the same actions, {difference}."
            )


class _Forks(Sampler):
    """One episode, then forks of it at given turns."""

    name: ClassVar[str] = "forks"
    turns: tuple[int, ...]

    def plan(self, budget: int, seed: int, vocab_size: int) -> Plan:
        return _ForksPlan(self.turns)


class _ForksPlan:
    def __init__(self, turns: tuple[int, ...]) -> None:
        self.notes: dict[str, Any] = {}
        self._turns = turns

    def grow(self, paths: Sequence[Path], slots: int) -> list[Start]:
        return [Start(0, turn) for turn in self._turns] if paths and not paths[0].is_live else [FRESH][len(paths) :]


class _Recital:
    """Chat format of one script: a message is one token, the number of its turn."""

    stop_token_ids = ()

    def __init__(self, actions: list[str]) -> None:
        self._actions = actions

    def opening(self, *pieces: str) -> NDArray[np.int32]:
        return np.array([_REPLY], np.int32)

    def following(self, *pieces: str, ended: bool) -> NDArray[np.int32]:
        return np.array([_REPLY], np.int32)

    def has_ended(self, ids: NDArray[np.int32]) -> bool:
        return True

    def decode(self, ids: NDArray[np.int32]) -> str:
        return self._actions[min(int(ids[0]), len(self._actions)) - 1]


def _branched(case: Case, episode: Episode) -> list[Trajectory]:
    """Play the episode's actions, then again in forks at its first, middle and last turns."""
    count = len(episode.actions)
    sampler = _Forks(turns=tuple(sorted({min(1, count - 1), count // 2, count - 1})))
    task = episode.frames[0].facts["task_id"]
    specs = [EpisodeSpec(f"law/{n}", "law", task, episode.seed, n) for n in range(1 + len(sampler.turns))]
    context = AppendContext(cast(ChatFormat, _Recital(episode.actions)), _VERBATIM)
    engine = ScriptedEngine(lambda ids, rng: Line([int((ids == _REPLY).sum())]), max_context=2 * count + 2)
    params = SamplingParams(max_tokens=1)
    with Rollout(
        case.factory, engine, context, params, sampler=sampler, concurrency=len(specs), max_retries=0
    ) as rollout:
        result = rollout.collect(specs)
    for accident in result.accidents:
        episode.require(False, f"A fork of the episode ended as {accident.outcome}: {accident.outcome_reason}.")
    return result.trajectories


def _difference(one: Trajectory, other: Trajectory) -> str:
    """Return the first thing in which two trajectories differ; empty if they are the same."""
    for mine, others in zip(one.turns, other.turns, strict=False):
        for name, value in asdict(mine).items():
            if value != getattr(others, name):
                return f"turn {mine.index} has the {name} {getattr(others, name)!r} where the parent has {value!r}"
    for name in ("outcome", "outcome_reason", "success", "score", "total_reward"):
        if getattr(one, name) != getattr(other, name):
            return f"the {name} is {getattr(other, name)!r} where the parent has {getattr(one, name)!r}"
    [tokens], [others_tokens] = one.sequences, other.sequences
    same_tokens = tokens.common_prefix(others_tokens) == len(tokens) == len(others_tokens)
    if len(one.turns) != len(other.turns) or not same_tokens:
        return f"there are {len(other.turns)} turns where the parent has {len(one.turns)}, or other tokens"
    return ""
