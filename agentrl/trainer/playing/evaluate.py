"""Evaluation: success on held-out tasks, sampled and greedy, with intervals."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from agentrl.context import Context
from agentrl.engines.base import Engine, SamplingParams
from agentrl.env import TextEnv
from agentrl.hosts import EnvHost
from agentrl.rollout import Errors, Limits, Rollout, demonstrate, group_specs
from agentrl.trainer.config import DemonstratorConfig, EvalConfig
from agentrl.trainer.config.section import fields_of
from agentrl.trainer.interrupts import unless_aborted
from agentrl.trainer.playing.collect import check_played
from agentrl.trainer.playing.own_numbers import Numbers, means_of, own_numbers
from agentrl.trainer.statistics import Interval, bootstrap_mean, pass_at_k, wilson
from agentrl.types import Trajectory
from agentrl.update import distributed


@dataclass(frozen=True, slots=True)
class Scores:
    """What a policy reached on a list of tasks.

    Attributes:
      mode: "sampled", "greedy" or "demonstrator".
      successes_PK: per task, per episode: solved or not.
      turns_PK: per task, per episode: turns played.
      accidents: episodes that ended without a verdict; they count neither as success nor as failure.
      means: over all episodes: "return", the sum of rewards; "score", the last; "env/NAME", the environment's own.
    """

    mode: str
    successes_PK: list[list[bool]]
    turns_PK: list[list[int]]
    accidents: int = 0
    means: Numbers = field(default_factory=dict)

    @property
    def success(self) -> Interval:
        """Mean success over tasks (avg@k): Wilson for one episode per task, else bootstrap over tasks.

        Where every episode or none succeeded the bootstrap sees no spread: then Wilson over tasks.
        """
        means = [float(np.mean(row)) for row in self.successes_PK if row]
        if set(means) <= {0.0, 1.0}:
            return wilson(int(sum(means)), len(means))
        return bootstrap_mean(means)

    @property
    def mean_turns(self) -> float:
        """Mean turns of all episodes."""
        turns = [turn for row in self.turns_PK for turn in row]
        return float(np.mean(turns)) if turns else 0.0

    def pass_at(self, k: int) -> Interval:
        """Return the mean over tasks of the unbiased pass@k; tasks with fewer episodes are left out."""
        return bootstrap_mean([pass_at_k(sum(row), len(row), k) for row in self.successes_PK if len(row) >= k])

    def summary(self) -> dict[str, Any]:
        """Return plain numbers for the log and the report."""
        interval = self.success
        numbers: dict[str, Any] = {
            "tasks": len(self.successes_PK),
            "episodes": sum(len(row) for row in self.successes_PK),
            "success": interval.mean,
            "low": interval.low,
            "high": interval.high,
            "mean_turns": self.mean_turns,
            "env_steps": sum(turn for row in self.turns_PK for turn in row),
            "accidents": self.accidents,
            **self.means,
        }
        samples = min((len(row) for row in self.successes_PK), default=0)
        for k in (k for k in (2, 4, 8, 16) if k <= samples):
            numbers[f"pass@{k}"] = self.pass_at(k).mean
        return numbers


def evaluate_policy(
    host: EnvHost,
    engine: Engine,
    context: Context,
    config: EvalConfig,
    params: SamplingParams,
    limits: Limits,
    *,
    concurrency: int,
    greedy: bool,
    is_aborted: Callable[[], bool] | None = None,
) -> Scores:
    """Play the first tasks of the evaluation split, shared out over the processes; all return the same scores.

    Raises:
      LostIterationError: every episode was lost to an accident.
      AbortedError: ``is_aborted``, in one of the processes.
    """
    tasks = eval_tasks(host.factory, config)
    samples = 1 if greedy else config.samples
    mine = [
        spec
        for index, task in enumerate(tasks)
        if index % distributed.world_size() == distributed.rank()
        for spec in group_specs([task], samples, seed=config.seed, iteration=0, first=index)
    ]
    params = replace(params, temperature=0.0 if greedy else config.temperature, top_p=1.0 if greedy else config.top_p)
    with Rollout(
        host,
        engine,
        context,
        params,
        limits=limits,
        concurrency=concurrency,
        is_aborted=is_aborted,
    ) as rollout:
        result = unless_aborted(partial(rollout.collect, mine))
    check_played(result, "an evaluation's episodes")
    mode = "greedy" if greedy else "sampled"
    return _gathered(mode, tasks, result.trajectories, len(result.accidents))


def evaluate_demonstrator(
    host: EnvHost,
    context: Context,
    config: EvalConfig,
    demonstrator: DemonstratorConfig,
    limits: Limits,
    is_aborted: Callable[[], bool] | None = None,
) -> Scores:
    """Let the (fallible) demonstrator play the same tasks."""
    tasks = eval_tasks(host.factory, config)
    mine = range(distributed.rank(), len(tasks), distributed.world_size())
    play = partial(
        demonstrate,
        host,
        [tasks[number] for number in mine],
        context,
        seed=config.seed,
        numbers=mine,
        errors=Errors(**fields_of(Errors, demonstrator)),
        limits=limits,
        is_aborted=is_aborted,
    )
    result = unless_aborted(play)
    check_played(result, "the demonstrator's episodes")
    return _gathered("demonstrator", tasks, result.trajectories, len(result.accidents))


def eval_tasks(env_factory: Callable[[], TextEnv], config: EvalConfig) -> Sequence[str]:
    """Return the ids of the tasks that are evaluated."""
    env = env_factory()
    ids = env.tasks.ids(config.split)
    env.close()
    return [ids[i] for i in range(len(ids) if config.tasks is None else min(config.tasks, len(ids)))]


def _gathered(mode: str, tasks: Sequence[str], trajectories: Sequence[Trajectory], accidents: int) -> Scores:
    rows = [(t.task_id, t.success, len(t.turns), {"return": t.total_reward} | own_numbers(t)) for t in trajectories]
    parts = distributed.gather(rows)
    successes: dict[str, list[bool]] = defaultdict(list)
    turns: dict[str, list[int]] = defaultdict(list)
    for task_id, success, num_turns, _ in (row for part in parts for row in part):
        successes[task_id].append(success)
        turns[task_id].append(num_turns)
    played = [task for task in dict.fromkeys(tasks) if task in successes]
    [lost] = distributed.all_sum([float(accidents)])
    means = means_of([row[3] for row in part] for part in parts)
    return Scores(mode, [successes[task] for task in played], [turns[task] for task in played], int(lost), means)
