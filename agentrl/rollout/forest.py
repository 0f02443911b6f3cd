"""The forest of branched trajectories: each turn that was really played, once, and how much the branches share.

A branch repeats its parent's turns before the branch point. Here a *node* is one played turn; a trajectory is a path
of nodes, and the paths of branches run together where they share turns.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agentrl.errors import DataError
from agentrl.types import Trajectory, Turn


@dataclass(frozen=True, slots=True)
class Node:
    """A turn that was played once.

    Attributes:
      turn: its record.
      before: node of the turn before; None for a first turn.
      members: places of the trajectories that go through it, ascending; their number is the node's multiplicity.
      after: nodes that follow, in the order of the first trajectory through each.
    """

    turn: Turn
    before: int | None
    members: tuple[int, ...]
    after: tuple[int, ...]

    @property
    def is_branch_point(self) -> bool:
        """True if trajectories part after this turn."""
        return len(self.after) > 1


@dataclass(frozen=True, slots=True)
class Forest:
    """Trajectories and the turns that were played for them.

    Attributes:
      trajectories: the paths.
      nodes: every played turn; a node comes after the one before it.
      paths: for each trajectory the nodes of its turns.
    """

    trajectories: tuple[Trajectory, ...]
    nodes: tuple[Node, ...]
    paths: tuple[tuple[int, ...], ...]

    @property
    def roots(self) -> tuple[int, ...]:
        """Nodes that are first turns."""
        return tuple(number for number, node in enumerate(self.nodes) if node.before is None)


def build_forest(trajectories: Iterable[Trajectory]) -> Forest:
    """Return the forest of trajectories, usually those of a group.

    A turn before the branch point is the parent's, whether the parent is among the trajectories or not: branches of
    one absent parent share its turns.

    Raises:
      DataError: two trajectories have the same id, parents form a circle, or a branch point lies behind the parent's
        or the branch's last turn.
    """
    trajectories = tuple(trajectories)
    by_id = _by_id(trajectories)
    number_of: dict[tuple[str, int], int] = {}
    turns: list[Turn] = []
    before: list[int | None] = []
    members: list[list[int]] = []
    paths = []
    for place, trajectory in enumerate(trajectories):
        path: list[int] = []
        for t, (turn, origin) in enumerate(zip(trajectory.turns, origins(trajectory, by_id), strict=True)):
            number = number_of.setdefault((origin, t), len(turns))
            if number == len(turns):
                turns.append(turn)
                before.append(path[-1] if path else None)
                members.append([])
            members[number].append(place)
            path.append(number)
        paths.append(tuple(path))
    after: defaultdict[int | None, list[int]] = defaultdict(list)
    for number, earlier in enumerate(before):
        after[earlier].append(number)
    nodes = tuple(
        Node(turn, before[number], tuple(members[number]), tuple(after[number])) for number, turn in enumerate(turns)
    )
    return Forest(trajectories, nodes, tuple(paths))


def origins(trajectory: Trajectory, by_id: dict[str, Trajectory]) -> list[str]:
    """Return, for each turn, the id of the trajectory that played it.

    Args:
      trajectory: a root or a branch.
      by_id: where parents are looked up; one that is missing there is taken for a root.

    Raises:
      DataError: see :func:`build_forest`.
    """
    owners = [trajectory.id] * len(trajectory.turns)
    limit, seen, one = len(owners), {trajectory.id}, trajectory
    while one.parent is not None:
        parent = by_id.get(one.parent.parent)
        if one.parent.turn > min(len(one.turns), len(one.turns if parent is None else parent.turns)):
            raise DataError(
                f"trajectory {one.id} branches from {one.parent.parent} at turn {one.parent.turn}, "
                "which one of them never reached"
            )
        limit = min(limit, one.parent.turn)
        owners[:limit] = [one.parent.parent] * limit
        if parent is None:
            break
        if parent.id in seen:
            raise DataError(f"the parents of trajectory {trajectory.id} form a circle")
        seen.add(parent.id)
        one = parent
    return owners


def shared_tokens(trajectories: Sequence[Trajectory]) -> int:
    """Return how many tokens of the branches' sequences only repeat what their parents' sequences hold.

    These are the tokens that the store leaves out. A sequence is compared with its parent's in the same place; a
    branch whose parent is not among the trajectories repeats nothing.
    """
    by_id = _by_id(trajectories)
    count = 0
    for trajectory in trajectories:
        parent = by_id.get(trajectory.parent.parent) if trajectory.parent is not None else None
        if parent is not None:
            pairs = zip(trajectory.sequences, parent.sequences, strict=False)
            count += sum(one.common_prefix(other) for one, other in pairs)
    return count


def forest_counts(trajectories: Sequence[Trajectory]) -> Counter[str]:
    """Return what `forest_metrics` is made of; counts of different groups add up.

    Raises:
      DataError: see :func:`build_forest`.
    """
    forest, by_id = build_forest(trajectories), _by_id(trajectories)
    branches = [trajectory for trajectory in trajectories if trajectory.parent is not None]
    counts = Counter(f"branches_at_turn_{branch.parent.turn}" for branch in branches if branch.parent is not None)
    return counts + Counter(
        trajectories=len(trajectories),
        branches=len(branches),
        generations=sum(_generation(branch, by_id) for branch in branches),
        turns=sum(map(len, forest.paths)),
        nodes=len(forest.nodes),
        tokens=sum(len(sequence) for trajectory in trajectories for sequence in trajectory.sequences),
        shared_tokens=shared_tokens(trajectories),
    )


def summarise(counts: Counter[str]) -> dict[str, float]:
    """Return the metrics of :func:`forest_metrics` from counts, which may be added up over processes."""
    if not counts["branches"]:
        return {}
    per_turn = sorted((name for name in counts if "_at_turn_" in name), key=lambda name: int(name.split("_")[-1]))
    return {
        "forest/num_roots": float(counts["trajectories"] - counts["branches"]),
        "forest/num_branches": float(counts["branches"]),
        **{f"forest/{name}": float(counts[name]) for name in per_turn},
        "forest/mean_generation": counts["generations"] / counts["branches"],
        "forest/shared_token_share": counts["shared_tokens"] / max(counts["tokens"], 1),
        "forest/shared_turn_share": 1 - counts["nodes"] / max(counts["turns"], 1),
        "forest/turn_multiplicity": counts["turns"] / max(counts["nodes"], 1),
        "forest/turns_played_per_trajectory": counts["nodes"] / counts["trajectories"],
    }


def forest_metrics(trajectories: Sequence[Trajectory]) -> dict[str, float]:
    """Return what the branches of trajectories are like, and what they save; nothing if none is a branch.

    - ``forest/num_roots``, ``forest/num_branches``; ``forest/branches_at_turn_T`` for each turn T with branches.
    - ``forest/mean_generation``: of the branches: 1 if forked from a root, 2 if from a branch of a root, ...
    - ``forest/shared_token_share``: share of the sequences' tokens that repeat a parent's.
    - ``forest/shared_turn_share``: share of the trajectories' turns that were not played again.
    - ``forest/turn_multiplicity``: mean number of trajectories that a played turn belongs to.
    - ``forest/turns_played_per_trajectory``: environment steps that a trajectory cost.

    Raises:
      DataError: see :func:`build_forest`.
    """
    return summarise(forest_counts(trajectories))


def _generation(trajectory: Trajectory, by_id: dict[str, Trajectory]) -> int:
    """Return how often one has to fork to come from a root to this trajectory; an absent parent counts as a root."""
    count, one = 0, trajectory
    while one.parent is not None:
        count += 1
        parent = by_id.get(one.parent.parent)
        if parent is None:
            break
        one = parent
    return count


def _by_id(trajectories: Sequence[Trajectory]) -> dict[str, Trajectory]:
    by_id = {trajectory.id: trajectory for trajectory in trajectories}
    if len(by_id) < len(trajectories):
        twice = next(name for name, count in Counter(one.id for one in trajectories).items() if count > 1)
        raise DataError(f"two trajectories have the id {twice!r}: give each its own")
    return by_id
