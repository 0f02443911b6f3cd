"""Scaf-GRPO: where a whole group fails, a member tries again with more and more of a plan in its prompt."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from agentrl import seeding
from agentrl.rollout import RolloutResult
from agentrl.rollout.group import EpisodeSpec
from agentrl.types import Trajectory

Play = Callable[[list[EpisodeSpec]], RolloutResult]


def scaffold(result: RolloutResult, specs: Sequence[EpisodeSpec], play: Play, levels: int) -> RolloutResult:
    """Return the rollout with a success in the place of one failure of each group that hints could help.

    The first member of a group without any success plays again with the first 1/levels of the environment's plan as a
    note in its first observation, then 2/levels, .., until it succeeds. The success keeps its hinted prompt, so it is
    on policy for it; the failure that it replaces, and the tries that failed, are `spent`: they count as played and are
    not trained on. A group that no hint helps stays as it is. Paper: Scaf-GRPO, arXiv:2510.19807. Differs from it: its
    hints are knowledge, plans and solutions written in advance by a strong model, four levels of each; a world that
    knows its solution gives plans.

    Args:
      result: of ``specs``.
      specs: of whole groups.
      play: plays episodes.
      levels: in how many steps the plan is given away, 1 or more.
    """
    groups: dict[str, list[int]] = {}
    for index, trajectory in enumerate(result.trajectories):
        groups.setdefault(trajectory.group, []).append(index)
    helped, parts = list(result.trajectories), [result]
    spent = list(result.spent)
    waiting = [own[0] for own in groups.values() if not any(helped[index].success for index in own)]
    by_id = {spec.id: spec for spec in specs}
    for level in range(1, levels + 1):
        if not waiting:
            break
        tries = [with_hint(by_id[helped[index].id], level, levels) for index in waiting]
        parts.append(play(tries))
        place = {spec.id: index for spec, index in zip(tries, waiting, strict=True)}
        for trajectory in parts[-1].trajectories:
            index = place[trajectory.id]
            if trajectory.success:
                trajectory.extra["hint"] = level / levels
                helped[index], trajectory = trajectory, helped[index]
                waiting.remove(index)
            spent.append(trajectory)
    return RolloutResult(
        helped,
        [accident for part in parts for accident in part.accidents],
        result.incomplete_groups,
        sum(part.wall_s for part in parts),
        sum(part.env_s for part in parts),
        spent,
    )


def with_hint(spec: EpisodeSpec, level: int, levels: int) -> EpisodeSpec:
    """Return the same episode as another try with a hint."""
    seed = seeding.derive(spec.sampling_seed, "hint", level)
    return replace(spec, id=f"{spec.id}/hint{level}", sampling_seed=seed, attempt=0, hint=level / levels)


def is_hinted(trajectory: Trajectory) -> bool:
    """Return whether a hint stood in the prompt."""
    return "hint" in trajectory.extra
