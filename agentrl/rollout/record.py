"""Writing down one episode: the part that model and scripted demonstrator share, so that their records are alike."""

import hashlib
from collections.abc import Hashable
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from agentrl.context.base import Context, Feed
from agentrl.engines.base import Completion
from agentrl.env import Info, Outcome
from agentrl.rollout.group import EpisodeSpec
from agentrl.types import Trajectory, Turn


class EpisodeRecord:
    """One episode as it is played: :meth:`begin`, then per turn :meth:`feed`, :meth:`answer`, :meth:`step`.

    Attributes:
      trajectory: the record; its sequences are filled in by :meth:`close`.
      info: the environment's latest.
      is_over: the environment has ended the episode.
    """

    def __init__(self, context: Context, spec: EpisodeSpec) -> None:
        self._protocol = context.protocol
        self._chat = context.chat
        self._conversation = context.begin()
        self._observation = ""
        self.info: Info = {}
        self.is_over = False
        self.trajectory = Trajectory(
            id=spec.id,
            group=spec.group,
            task_id=spec.task_id,
            seed=spec.env_seed,
            extra={"sampling_seed": spec.sampling_seed, "attempt": spec.attempt},
        )

    @property
    def observation(self) -> str:
        """What the policy sees next."""
        return self._observation

    def begin(self, observation: str, info: dict[str, Any]) -> None:
        """Take the result of the environment's reset."""
        self._observation, self.info = observation, cast(Info, info)

    @property
    def told(self) -> NDArray[np.int32]:
        """Ids of the latest training sequence: what a session that heard everything holds."""
        return self._conversation.sequences()[-1].ids_L

    def feed(self) -> Feed:
        """Return what the engine is to be fed before this turn."""
        return self._conversation.feed(self._observation, self.info)

    def answer(self, feed: Feed, completion: Completion) -> str:
        """Record what was sampled and return the action to be sent to the environment."""
        response = self._chat.decode(completion.ids)
        parsed = self._protocol.parse(response)
        self._conversation.record(feed, self._observation, completion, parsed.action)
        num_tokens = len(completion.ids)
        self.trajectory.turns.append(
            Turn(
                index=len(self.trajectory.turns),
                observation=self._observation,
                response=response,
                action=parsed.action,
                action_valid=parsed.valid,
                reward=0.0,
                anchor=anchor_digest(self.info["anchor_key"]),
                stop_reason=completion.stop_reason,
                num_tokens=num_tokens,
                mean_entropy=float(completion.entropies.sum()) / max(num_tokens, 1),
                policy_version=completion.policy_version,
            )
        )
        return parsed.action

    def step(self, result: tuple[str, float, bool, bool, dict[str, Any]]) -> None:
        """Take the environment's answer to the action, which its host has checked."""
        observation, reward, terminated, truncated, info = result
        turn, trajectory = self.trajectory.turns[-1], self.trajectory
        turn.reward, turn.terminated, turn.truncated = float(reward), bool(terminated), bool(truncated)
        turn.action_valid = turn.action_valid and bool(info.get("action_valid", True))
        trajectory.score, trajectory.success = float(info["score"]), bool(info["success"])
        self._observation, self.info = observation, cast(Info, info)
        if "metrics" in info:
            trajectory.extra["metrics"] = info["metrics"]
        if terminated or truncated:
            self.is_over = True
            trajectory.outcome, trajectory.outcome_reason = Outcome(info["outcome"]), str(info["outcome_reason"])

    def cut(self, outcome: Outcome, reason: str) -> None:
        """End the episode from outside: a limit is reached, or something broke.

        An action that took too long, where that is a failure, is its last one.
        """
        self.trajectory.outcome, self.trajectory.outcome_reason = outcome, reason
        if self.trajectory.turns and outcome is Outcome.FAILURE:
            self.trajectory.turns[-1].terminated = True
        if self.trajectory.turns and not self.trajectory.turns[-1].terminated:
            self.trajectory.turns[-1].truncated = True

    def close(self) -> Trajectory:
        """Return the finished record; the id of an accident is id~attempt, since another attempt takes its place."""
        self.trajectory.sequences = self._conversation.sequences()
        if self.trajectory.turns:
            self.trajectory.final_observation = self._observation
            self.trajectory.final_anchor = anchor_digest(self.info["anchor_key"])
            self.trajectory.answer = self.info.get("answer")
        if not self.trajectory.outcome.is_verdict:
            self.trajectory.id += f"~{self.trajectory.extra['attempt']}"
        return self.trajectory


def anchor_digest(key: Hashable) -> str:
    """Return 32 hexadecimal digits (128 bits, BLAKE2b) that are equal iff the anchor keys' canonical texts are.

    The text is ``repr``, with the elements of frozen sets sorted: Python orders them differently in each process.

    >>> anchor_digest(("room 1", 3)) == anchor_digest(("room 1", 3)) != anchor_digest(("room 1", 4))
    True
    """
    text = repr(key)
    if "frozenset(" in text:
        text = _canonical(key)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _canonical(key: Any) -> str:
    if isinstance(key, frozenset):
        return "frozenset{" + ", ".join(sorted(map(_canonical, key))) + "}"
    if isinstance(key, tuple):
        return "(" + ", ".join(map(_canonical, key)) + ")"
    return repr(key)
