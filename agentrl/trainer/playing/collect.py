"""What an iteration plays: tasks chosen by a curriculum, and more of them where a filter drops groups."""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

from agentrl import seeding
from agentrl.algorithms.base import Recipe
from agentrl.curriculum import DynamicSampling, draw_tasks, make_curriculum, num_kept
from agentrl.errors import ConfigError, EngineError
from agentrl.rollout import RolloutResult, group_specs
from agentrl.rollout.group import EpisodeSpec
from agentrl.trainer.config import Config
from agentrl.trainer.credit import turn_table
from agentrl.trainer.interrupts import unless_aborted
from agentrl.trainer.playing.scaffold import is_hinted, scaffold
from agentrl.types import Trajectory
from agentrl.update import distributed

Play = Callable[[list[EpisodeSpec]], RolloutResult]


class Collector:
    """Chooses the tasks of each iteration and has them played, shared out over the processes.

    With dynamic sampling (DAPO, arXiv:2503.14476, sec. 3.2), as many groups as the filter will drop are played again
    with other tasks, up to ``max_refills`` times; what is missing then is missing. The paper generates whole batches.
    All that was played counts in the iteration's numbers, and the curriculum learns from it.

    Args:
      config: of the run.
      tasks: ids of the training split.
      play: plays episodes.
      max_refills: see above; 0 plays what is asked for and no more.
      hint_levels: in how many steps failing groups are helped, at a share of the run's iterations.
    """

    def __init__(
        self,
        config: Config,
        tasks: Sequence[str],
        play: Play,
        max_refills: int = 0,
        hint_levels: Callable[[float], int] = lambda progress: 0,
    ) -> None:
        self._config, self._tasks, self._play, self._max_refills = config, tasks, play, max_refills
        self._hint_levels, self._hinted = hint_levels, 0
        self._curriculum = make_curriculum(**config.curriculum.model_dump(), num_tasks=len(tasks))
        self._refills, self._groups = 0, 0

    def collect(self, iteration: int) -> RolloutResult:
        """Play this process's share of an iteration.

        Raises:
          LostIterationError: all processes lost every episode to accidents.
          AbortedError: a process was told to stop; the curriculum has learned nothing of the iteration.
        """
        self._refills, self._groups, self._hinted = 0, 0, 0
        results = [self._play_groups(iteration, self._config.rollout.tasks_per_iteration)]
        while self._refills < self._max_refills and (missing := self._missing(results)):
            self._refills += 1
            results.append(self._play_groups(iteration, missing))
        result = merged(results)
        check_played(result, "an iteration's episodes")
        if self._curriculum is not None:
            outcomes = chain.from_iterable(distributed.gather(group_outcomes(result.trajectories)))
            for _, task, successes in sorted(outcomes):
                self._curriculum.observe(task, successes)
        return result

    def metrics(self) -> dict[str, float]:
        """Return how many groups the last iteration played, how often it refilled, and how many groups hints helped.

        The last only of an algorithm with hints. All processes together: each must call it.
        """
        numbers = {"groups_played": float(self._groups), "refills": float(self._refills)}
        if self._hint_levels(1.0):
            (numbers["groups_hinted"],) = distributed.all_sum([float(self._hinted)])
        return numbers

    def state_dict(self) -> dict[str, Any]:
        """Return what the curriculum remembers, JSON-serialisable."""
        return {} if self._curriculum is None else self._curriculum.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what the curriculum remembered."""
        if self._curriculum is not None and state:
            self._curriculum.load_state_dict(state)

    def _play_groups(self, iteration: int, count: int) -> RolloutResult:
        seed, first = self._config.run.seed, self._groups
        path = ("tasks", iteration, "refill", self._refills) if self._refills else ("tasks", iteration)
        chosen = draw_tasks(self._tasks, count, seeding.generator(seed, *path), self._curriculum)
        self._groups += count
        size, own, processes = self._config.rollout.group_size, distributed.rank(), distributed.world_size()
        specs = [
            group_specs([task], size, seed=seed, iteration=iteration, first=index)
            for index, task in enumerate(chosen, first)
            if index % processes == own
        ]
        wanted = list(chain.from_iterable(specs))
        levels = self._hint_levels(iteration / max(1, self._config.run.iterations))

        def play() -> RolloutResult:
            result = self._play(wanted)
            return scaffold(result, wanted, self._play, levels) if levels else result

        result = unless_aborted(play)
        self._hinted += sum(is_hinted(trajectory) for trajectory in result.trajectories)
        return result

    def _missing(self, results: Sequence[RolloutResult]) -> int:
        """Return how many groups the filter leaves to be desired, over all processes."""
        table = turn_table([trajectory for result in results for trajectory in result.trajectories])
        (kept,) = distributed.all_sum([float(num_kept(table, DynamicSampling()))])
        return max(0, self._config.rollout.tasks_per_iteration - int(kept))


class LostIterationError(EngineError):
    """Nothing was played, in any of the processes; each of them raises it."""


def check_played(result: RolloutResult, what: str) -> None:
    """Check that something of ``what`` was played, by all processes together: else the next will not fare better.

    Raises:
      LostIterationError: every episode was lost to an accident; says to which.
    """
    (played,) = distributed.all_sum([float(len(result.trajectories))])
    reasons = list(chain.from_iterable(distributed.gather([lost.outcome_reason for lost in result.accidents])))
    if reasons and not played:
        raise LostIterationError(f"all {len(reasons)} attempts at {what} were lost, the first to: {reasons[0]}")


def max_refills(config: Config, recipe: Recipe) -> int:
    """Return how often an iteration is refilled: as configured, or as the algorithm has it.

    Raises:
      ConfigError: refills are asked for with a filter that has none.
    """
    name, asked = config.filter.name or recipe.filters_with(), config.filter.max_refills
    if name == "dynamic_sampling":
        return recipe.refills() if asked is None else asked
    if asked:
        raise ConfigError(
            f"filter.max_refills is {asked}, but the filter is {name!r}: only dynamic_sampling is refilled"
        )
    return 0


def merged(results: Sequence[RolloutResult]) -> RolloutResult:
    """Return several rollouts, one after the other, as one."""
    if len(results) == 1:
        return results[0]
    return RolloutResult(
        list(chain.from_iterable(result.trajectories for result in results)),
        list(chain.from_iterable(result.accidents for result in results)),
        tuple(chain.from_iterable(result.incomplete_groups for result in results)),
        sum(result.wall_s for result in results),
        sum(result.env_s for result in results),
        list(chain.from_iterable(result.spent for result in results)),
    )


def group_outcomes(trajectories: Sequence[Trajectory]) -> list[tuple[str, str, list[float]]]:
    """Return group, task and successes (0 or 1) of each group's episodes, of those with a verdict and without hints."""
    outcomes: dict[str, tuple[str, str, list[float]]] = {}
    for trajectory in trajectories:
        if trajectory.outcome.is_verdict and not is_hinted(trajectory):
            key = trajectory.group
            outcomes.setdefault(key, (key, trajectory.task_id, []))[2].append(float(trajectory.success))
    return list(outcomes.values())
