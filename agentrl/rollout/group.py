"""Groups: which episodes are to be played, and from which seeds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from agentrl.seeding import derive
from agentrl.tasks import TaskRef


@dataclass(frozen=True, slots=True)
class EpisodeSpec:
    """One episode to be played.

    Attributes:
      id: unique within a run.
      group: the same for all episodes of one task and one initial state.
      task_id: the task.
      env_seed: seeds the environment's reset; equal within a group.
      sampling_seed: seeds the policy's sampling; different for each member.
      attempt: 0, or how many accidents came before this attempt.
      hint: share of the environment's plan that the first observation gives away.
    """

    id: str
    group: str
    task_id: str
    env_seed: int
    sampling_seed: int
    attempt: int = 0
    hint: float = 0.0

    def retry(self) -> "EpisodeSpec":
        """Return the same episode with a fresh sampling seed: another attempt after an accident.

        The environment's seed stays, since the members of a group share their initial state.
        """
        return replace(
            self, sampling_seed=derive(self.sampling_seed, "retry", self.attempt + 1), attempt=self.attempt + 1
        )


def group_specs(
    tasks: Sequence[TaskRef | str], group_size: int, *, seed: int, iteration: int, first: int = 0
) -> list[EpisodeSpec]:
    """Return the episodes of one group per task, group by group.

    Seeds are derived from (run seed, iteration, index of the group, member), so that they depend neither on how many
    groups are asked for at once nor on the order of play.

    Args:
      tasks: one per group; a task may occur twice, as two groups.
      group_size: members of each group.
      seed: the run's seed.
      iteration: of training; evaluations use a name space of their own by passing another ``seed``.
      first: index of the first group, when an iteration asks for more.
    """
    specs = []
    for index, task in enumerate(tasks, first):
        task_id = task.id if isinstance(task, TaskRef) else task
        group = f"{iteration:06d}/{index:04d}"
        env_seed = derive(seed, "env", iteration, index)
        for member in range(group_size):
            sampling_seed = derive(seed, "sampling", iteration, index, member)
            specs.append(EpisodeSpec(f"{group}/{member:02d}", group, task_id, env_seed, sampling_seed))
    return specs
