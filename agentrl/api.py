"""What a notebook uses: train, evaluate, and load a policy to play with. Nothing heavy is imported before a call."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from agentrl.errors import ConfigError

if TYPE_CHECKING:
    from agentrl.trainer.config import Config
    from agentrl.trainer.playing.actor import Actor

ConfigLike = Union[str, Path, Mapping[str, Any], "Config"]
"""A YAML file, nested mappings, or what was read from either."""


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What a run came to.

    Attributes:
      directory: of the run.
      is_complete: False if it was interrupted: ``train(config, resume=True)`` goes on.
      evaluations: name of an evaluation ("warm start", "iteration 20", "result") to mode ("sampled", "greedy") to its
        numbers: success, low and high (95 %), mean_turns, tasks, episodes and so on.
    """

    directory: Path
    is_complete: bool
    evaluations: dict[str, dict[str, Any]] = field(default_factory=dict)


def train(
    config: ConfigLike, *, overrides: Sequence[str] = (), resume: bool = False, fresh: bool = False
) -> TrainingResult:
    """Train a policy as ``agentrl train`` does; it works in a notebook, too.

    A script that calls it must do so under ``if __name__ == "__main__":``, for the run's processes import the script.

    Args:
      config: of the run.
      overrides: keys that are set in a file, such as ``"run.iterations=20"``.
      resume: go on from the newest checkpoint in ``run.directory``.
      fresh: move a run that is in ``run.directory`` aside.

    Raises:
      AgentrlError: see :func:`agentrl.trainer.loop.run_training`; one line says what to do.
    """
    from agentrl.trainer.directory.checkpoint import check_checkpoint, latest_checkpoint
    from agentrl.trainer.loop import run_training

    settings = _read(config, overrides)
    code = run_training(settings, resume=resume, fresh=fresh)
    directory = settings.run.directory
    newest = latest_checkpoint(directory / "checkpoints")
    results = check_checkpoint(newest).progress.results if newest else {}
    return TrainingResult(directory, code == 0, results)


def evaluate(
    config: ConfigLike, policy: str | Path | None = None, *, overrides: Sequence[str] = ()
) -> dict[str, dict[str, Any]]:
    """Evaluate a policy on the held-out split as ``agentrl eval`` does.

    Args:
      config: says the environment, the context and the section ``eval``.
      policy: folder of the policy; None for the final one of ``run.directory``.
      overrides: keys that are set in a file, such as ``"eval.tasks=50"``.

    Returns:
      Mode ("sampled", "greedy") to its numbers: success, low and high (95 %), mean_turns, tasks, episodes, ...

    Raises:
      AgentrlError: see :func:`agentrl.trainer.loop.run_evaluation`.
      KeyboardInterrupt: it was interrupted.
    """
    from agentrl.trainer.loop import run_evaluation

    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "evaluation.json"
        if run_evaluation(_read(config, overrides), None if policy is None else str(policy), out=out):
            raise KeyboardInterrupt
        modes: dict[str, dict[str, Any]] = json.loads(out.read_text())["modes"]
    return modes


def load(
    where: str | Path,
    *,
    context: Mapping[str, Any] | None = None,
    temperature: float = 0.0,
    seed: int = 0,
    conversations: int = 16,
) -> "Actor":
    """Load a policy that acts: ``action = policy.act(observation, info)``.

    Args:
      where: directory of a run (its final policy, or that of its newest checkpoint), the folder of a policy, or a hub
        name. How a conversation becomes tokens comes from the run that the policy lies in, if it lies in one.
      context: keys of the section ``context`` to set, such as ``{"protocol": "tags"}``.
      temperature: of sampling; 0 takes the most probable token.
      seed: of sampling.
      conversations: most that go on at a time.

    Raises:
      DataError: there is no policy, or it cannot be read.
      ConfigError: ``context`` has an unknown key or a value out of range.
    """
    from agentrl.trainer.playing.actor import load_actor

    return load_actor(Path(where), context or {}, temperature=temperature, seed=seed, conversations=conversations)


def _read(config: ConfigLike, overrides: Sequence[str]) -> "Config":
    from agentrl.trainer.config import Config, load_config, parse_config

    if isinstance(config, str | Path):
        return load_config(Path(config), overrides)
    if overrides:
        raise ConfigError("overrides are for a file: set the keys in the mapping")
    return config if isinstance(config, Config) else parse_config(config)
