"""Where a forest's turns go in a drawing: a lane per trajectory, a column per turn, no line across another.

States are points and turns are the lines between them. A trajectory runs along its lane from where it was played; a
branch leaves its parent's lane at the branch point. Branches lie below their parent, the latest one nearest, so that
the curve to a lane passes only lanes that begin further right.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from agentrl.rollout.forest import Forest, build_forest
from agentrl.types import Trajectory, Turn

TREE_GAP = 0.4
"""Extra space between the lanes of two trees, in lanes."""


@dataclass(frozen=True, slots=True)
class Line:
    """A played turn, from (column, from_row) to (column + 1, row).

    Attributes:
      turn: its record.
      place: of the trajectory that it is drawn with.
      row: lane of that trajectory.
      from_row: lane of the turn before; its own for a first turn.
      multiplicity: trajectories that share it.
      state: number of the state it starts from, if another turn of the group starts from that state too; else None.
      is_branch_point: other turns start from the very point where this one starts.
    """

    turn: Turn
    place: int
    row: float
    from_row: float
    multiplicity: int
    state: int | None
    is_branch_point: bool


@dataclass(frozen=True, slots=True)
class Layout:
    """A forest, drawn.

    Attributes:
      forest: what is drawn.
      lines: one per played turn.
      rows: lane of each trajectory; None for a branch that never took a turn of its own.
      num_columns: turns of the longest trajectory.
      height: lanes, gaps included.
      states: numbers of anchor states that several played turns start from, in order of appearance.
    """

    forest: Forest
    lines: tuple[Line, ...]
    rows: tuple[float | None, ...]
    num_columns: int
    height: float
    states: dict[str, int]


def lay_out(trajectories: Iterable[Trajectory]) -> Layout:
    """Return where everything goes.

    Raises:
      DataError: the trajectories are no forest: see `agentrl.rollout.forest.build_forest`.
    """
    forest = build_forest(trajectories)
    owners = [_owner(forest, number) for number in range(len(forest.nodes))]
    rows, height = _rows(forest, owners)
    counts = Counter(node.turn.anchor for node in forest.nodes)
    shared = [anchor for anchor in dict.fromkeys(node.turn.anchor for node in forest.nodes) if counts[anchor] > 1]
    states = {anchor: number for number, anchor in enumerate(shared, 1)}
    lines = []
    for node, owner in zip(forest.nodes, owners, strict=True):
        row = rows[owner]
        lines.append(
            Line(
                turn=node.turn,
                place=owner,
                row=row,
                from_row=row if node.before is None else rows[owners[node.before]],
                multiplicity=len(node.members),
                state=states.get(node.turn.anchor),
                is_branch_point=node.before is not None and forest.nodes[node.before].is_branch_point,
            )
        )
    lanes = tuple(rows.get(place) for place in range(len(forest.trajectories)))
    return Layout(forest, tuple(lines), lanes, max(map(len, forest.paths), default=0), height, states)


def _owner(forest: Forest, number: int) -> int:
    """Return the place of the trajectory that played a node; where it is absent, of the first that goes through."""
    node = forest.nodes[number]
    for place in node.members:
        parent = forest.trajectories[place].parent
        if parent is None or parent.turn <= forest.paths[place].index(number):
            return place
    return node.members[0]


def _rows(forest: Forest, owners: list[int]) -> tuple[dict[int, float], float]:
    """Return the lane of each trajectory that owns a turn, and the height of all lanes."""
    children: defaultdict[int | None, list[tuple[int, int]]] = defaultdict(list)
    for place in dict.fromkeys(owners):
        first = owners.index(place)
        before = forest.nodes[first].before
        column = forest.paths[place].index(first)
        children[None if before is None else owners[before]].append((-column, place))
    rows: dict[int, float] = {}
    height = 0.0
    for _, root in sorted(children[None], key=lambda child: child[1]):
        waiting = [root]
        while waiting:
            place = waiting.pop()
            rows[place] = height
            height += 1
            waiting += [child for _, child in sorted(children[place], reverse=True)]
        height += TREE_GAP
    return rows, max(0.0, height - TREE_GAP)
