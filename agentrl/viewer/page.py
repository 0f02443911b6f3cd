"""One static HTML page of a run's episodes: groups, their forests, trajectories, turns. No script, no network."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from agentrl.env import Outcome
from agentrl.types import Trajectory, Turn
from agentrl.viewer.colours import ENTROPY_STOPS, FAINT, INK, OUTCOME_COLOURS, entropy_colour, most_entropy
from agentrl.viewer.layout import lay_out
from agentrl.viewer.svg import Drawing, draw

OUTCOME_SIGNS = {Outcome.SUCCESS: "✓", Outcome.FAILURE: "✕", Outcome.TRUNCATED: "■"}

Advantages = dict[str, list[float]]
"""Of each turn, by trajectory id; NaN where a turn is not scored."""


@dataclass(frozen=True, slots=True)
class Row:
    """A turn in the table of its trajectory: its record, its advantage if known, and the number of its state."""

    turn: Turn
    advantage: float | None
    state: int | None


@dataclass(frozen=True, slots=True)
class Card:
    """A trajectory with the rows of its own turns; a branch begins with how many turns are its parent's."""

    trajectory: Trajectory
    sign: str
    colour: str
    num_shared: int
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class GroupView:
    """A group: its drawing, its trajectories with a verdict, and the attempts that an accident ended."""

    name: str
    task_id: str
    drawing: Drawing
    cards: tuple[Card, ...]
    accidents: tuple[Trajectory, ...]
    num_states: int

    @property
    def num_successes(self) -> int:
        """Trajectories that solved the task."""
        return sum(card.trajectory.success for card in self.cards)

    @property
    def num_branches(self) -> int:
        """Trajectories forked from others."""
        return sum(card.trajectory.parent is not None for card in self.cards)


def write_page(
    path: Path,
    trajectories: Sequence[Trajectory],
    *,
    title: str,
    facts: dict[str, str] | None = None,
    advantages: Advantages | None = None,
) -> None:
    """Write the page of trajectories.

    Args:
      path: the HTML file.
      trajectories: of any number of groups; attempts without a verdict are listed by their reason.
      title: heading.
      facts: shown below it.
      advantages: shown beside the turns.

    Raises:
      DataError: the trajectories of a group are no forest.
    """
    most = most_entropy(turn.mean_entropy for trajectory in trajectories for turn in trajectory.turns)
    members: defaultdict[str, list[Trajectory]] = defaultdict(list)
    for trajectory in trajectories:
        members[trajectory.group].append(trajectory)
    groups = [_group(name, group, most, advantages or {}) for name, group in members.items()]
    opened = max(groups, key=lambda group: (group.num_branches, _is_mixed(group)), default=None)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("agentrl.viewer"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    text = environment.get_template("page.html").render(
        title=title,
        facts=(facts or {}) | _totals(groups),
        groups=groups,
        opened=opened,
        most=most,
        has_advantages=advantages is not None,
        stops=ENTROPY_STOPS,
        outcomes=[(outcome.value, OUTCOME_SIGNS[outcome], OUTCOME_COLOURS[outcome]) for outcome in OUTCOME_COLOURS],
        colour=lambda turn: entropy_colour(turn.mean_entropy, most),
        ink=INK,
        faint=FAINT,
    )
    path.write_text(text, encoding="utf-8", errors="replace")


def _is_mixed(group: GroupView) -> bool:
    return 0 < group.num_successes < len(group.cards)


def _group(name: str, members: list[Trajectory], most: float, advantages: Advantages) -> GroupView:
    verdicts = [trajectory for trajectory in members if trajectory.outcome.is_verdict]
    layout = lay_out(verdicts)
    cards = tuple(
        Card(
            trajectory,
            OUTCOME_SIGNS[trajectory.outcome],
            OUTCOME_COLOURS[trajectory.outcome],
            0 if trajectory.parent is None else trajectory.parent.turn,
            tuple(_rows(trajectory, layout.states, advantages.get(trajectory.id))),
        )
        for trajectory in verdicts
    )
    accidents = tuple(trajectory for trajectory in members if not trajectory.outcome.is_verdict)
    return GroupView(name, members[0].task_id, draw(layout, most, advantages), cards, accidents, len(layout.states))


def _rows(trajectory: Trajectory, states: dict[str, int], advantages: list[float] | None) -> list[Row]:
    first = 0 if trajectory.parent is None else trajectory.parent.turn
    return [
        Row(turn, None if advantages is None else advantages[number], states.get(turn.anchor))
        for number, turn in enumerate(trajectory.turns[first:], first)
    ]


def _totals(groups: Sequence[GroupView]) -> dict[str, str]:
    """Return what is counted over the page."""
    cards = [card for group in groups for card in group.cards]
    branches = sum(group.num_branches for group in groups)
    played = sum(len(card.rows) for card in cards)
    totals = {"groups": f"{len(groups)}", "trajectories": f"{len(cards)}"}
    if cards:
        solved = sum(card.trajectory.success for card in cards)
        totals["success"] = f"{100 * solved / len(cards):.0f} %"
        totals["turns played"] = f"{played:,}"
    if branches:
        turns = sum(len(card.trajectory.turns) for card in cards)
        totals["branches"] = f"{branches}"
        totals["turns shared"] = f"{100 * (1 - played / turns):.0f} %"
    accidents = [accident for group in groups for accident in group.accidents]
    if accidents:
        lost = sum(accident.env_steps for accident in accidents)
        totals["accidents"] = f"{len(accidents)}, which took {lost:,} turns more"
    return totals
