"""What the episodes of a run would have earned under several estimators: numbers, tables and a picture.

Axis suffixes: ``_N`` turns, ``_M`` trajectories, ``_K`` groups.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from agentrl import credit
from agentrl.algorithms.base import make_recipe
from agentrl.credit.normalise import Moments
from agentrl.credit.returns import episode_returns
from agentrl.credit.segments import IntN, sums
from agentrl.credit.states.graph import transitions
from agentrl.credit.table import TurnTable
from agentrl.errors import DataError, nearest
from agentrl.storage.record_check import check_trajectory
from agentrl.store import TrajectoryStore
from agentrl.trainer.credit import table_for, turn_table
from agentrl.types import Trajectory

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

FloatN = NDArray[np.float64]
SALT_HISTORY = 3
SIZES = {"1": 1, "2-4": 2, "5-9": 5, "10-49": 10, "50+": 50}
"""How many turns meet: names of the classes, and the least size of each."""
BLUE, ORANGE = "#1f6fb4", "#d1791c"


@dataclass(frozen=True, slots=True)
class Study:
    """Turns and what estimators gave them.

    Attributes:
      table: the turns, grouped as they were played.
      advantages: by estimator, shape (N,), NaN where a turn is not scored.
    """

    table: TurnTable
    advantages: dict[str, FloatN]


def load_episodes(
    run: Path, iteration: int | None = None, say: Callable[[str], None] = print
) -> tuple[int, list[Trajectory]]:
    """Return an iteration of a run, the newest sound one unless given, and its trajectories.

    Args:
      run: directory of the run.
      iteration: a stored one; None is the newest that can be read.
      say: told of newer ones that cannot.

    Raises:
      DataError: no such run, nothing stored, not that iteration, or it is damaged; says how to store trajectories.
    """
    if not run.is_dir():
        siblings = [str(path) for path in run.parent.iterdir() if path.is_dir()] if run.parent.is_dir() else []
        raise DataError(f"no run in {run}{nearest(str(run), siblings)}")
    store = TrajectoryStore(run / "trajectories")
    stored = store.iterations()
    if not stored:
        raise DataError(f"{run} holds no trajectories: train with --set run.save_trajectories_every=1 to store them")
    if iteration is not None:
        if iteration not in stored:
            raise DataError(f"iteration {iteration} of {run} is not stored; stored: {', '.join(map(str, stored))}")
        return iteration, _read(store, iteration)
    for newest in reversed(stored):
        try:
            return newest, _read(store, newest)
        except DataError as error:
            if newest == stored[0]:
                raise
            say(f"iteration {newest} is left out: {error}")
    raise AssertionError("one was returned or raised")


def _read(store: TrajectoryStore, iteration: int) -> list[Trajectory]:
    trajectories = store.read(iteration)
    for trajectory in trajectories:
        check_trajectory(trajectory, str(store.path(iteration)))
    return trajectories


def study_credit(trajectories: Sequence[Trajectory], estimators: Sequence[str]) -> Study:
    """Assign the credit of each estimator, with its default options, as the trainer would.

    Raises:
      ConfigError: no such algorithm, or one that needs a critic.
      DataError: no turn has a verdict, or an estimator cannot use these turns.
    """
    recipes = {name: make_recipe({"name": name}) for name in estimators}
    table = turn_table(trajectories)
    if not table.verdict_N.any():
        raise DataError("no episode has a verdict: every one was lost to an accident, so there is nothing to credit")
    advantages = {name: recipe.advantages(table_for(recipe, trajectories)) for name, recipe in recipes.items()}
    return Study(table, advantages)


# -- numbers -----------------------------------------------------------------------------------------------------------


def spread(advantage_N: FloatN) -> dict[str, float]:
    """Return mean, std, largest size and share of non-zero ones of the scored turns; and the share that is scored."""
    scored = advantage_N[np.isfinite(advantage_N)]
    if not len(scored):
        return {"mean": np.nan, "std": np.nan, "largest": np.nan, "nonzero": 0.0, "scored": 0.0}
    return {
        "mean": float(scored.mean()),
        "std": float(scored.std()),
        "largest": float(np.abs(scored).max()),
        "nonzero": float((scored != 0).mean()),
        "scored": len(scored) / len(advantage_N),
    }


def correlation(one_N: FloatN, other_N: FloatN) -> float:
    """Return Pearson's correlation over the turns that both score, NaN where one of them is constant there."""
    both = np.isfinite(one_N) & np.isfinite(other_N)
    one, other = one_N[both], other_N[both]
    if not both.any() or np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    return float(np.corrcoef(one, other)[0, 1])


def structure(table: TurnTable) -> dict[str, float]:
    """Return what there is to compare with, over the turns with a verdict.

    Sizes of groups; the share of groups whose returns are all equal; the share of turns in a state that their group
    met once (GiGPO gives them no turn advantage) and the mean size of an anchor group; and SALT's merge rate, the
    share of turns whose transition, with a history of three, another turn of the group makes as well.
    """
    scored = table.select(table.verdict_N)
    present = np.unique(scored.group_M)
    groups = Moments.of(episode_returns(scored), scored.group_M, scored.num_groups)
    anchor_N, transition_N = _sizes(scored)
    return {
        "episodes": scored.num_trajectories,
        "turns": len(scored),
        "groups": len(present),
        "smallest group": int(groups.count_K[present].min()),
        "largest group": int(groups.count_K[present].max()),
        "groups of equal returns": float((groups.std_K[present] == 0).mean()),
        "turns in a state met once": float((anchor_N == 1).mean()),
        "turns per anchor state": float(1.0 / np.mean(1.0 / anchor_N)),
        "SALT merge rate": float((transition_N > 1).mean()),
    }


def size_shares(table: TurnTable) -> dict[str, FloatN]:
    """Return the share of the turns with a verdict whose state, and whose transition, is met by so many of the group.

    One share for each of `SIZES`, under "anchor state" (what GiGPO compares) and "transition" (what SALT merges).
    """
    edges = [*SIZES.values(), np.inf]
    names = ("anchor state", "transition")
    sizes = zip(names, _sizes(table.select(table.verdict_N)), strict=True)
    return {name: np.histogram(size_N, edges)[0] / len(size_N) for name, size_N in sizes}


def _sizes(scored: TurnTable) -> tuple[IntN, IntN]:
    """Return how many turns of its group are in each turn's state, and how many make its transition."""
    anchor_N, anchors = credit.anchor_groups(scored)
    transition_N, merged = transitions(scored, SALT_HISTORY)
    return np.bincount(anchor_N, minlength=anchors)[anchor_N], np.bincount(transition_N, minlength=merged)[transition_N]


# -- tables and picture ------------------------------------------------------------------------------------------------


def study_tables(study: Study) -> list[Table]:
    """Return the study as tables for the terminal."""
    numbers = Table("estimator", "mean", "std", "largest |A|", "non-zero", "scored turns", title="Advantages")
    for name, advantage_N in study.advantages.items():
        row = spread(advantage_N)
        shares = [f"{100 * row[key]:.1f} %" for key in ("nonzero", "scored")]
        numbers.add_row(name, f"{row['mean']:+.3f}", f"{row['std']:.3f}", f"{row['largest']:.3f}", *shares)
    pairs = Table("correlation", *study.advantages, title="Correlation between estimators")
    for name, one_N in study.advantages.items():
        values = [correlation(one_N, other_N) for other_N in study.advantages.values()]
        pairs.add_row(name, *("-" if np.isnan(value) else f"{value:.2f}" for value in values))
    found = Table("turns with a verdict", "", title="What there is to compare")
    for name, value in structure(study.table).items():
        is_share = name in ("groups of equal returns", "turns in a state met once", "SALT merge rate")
        whole = f"{value:.0f}" if isinstance(value, int) else f"{value:.2f}"
        found.add_row(name, f"{100 * value:.1f} %" if is_share else whole)
    met = Table("turns that meet", *SIZES, title="How many turns of a group meet in a state, or make a transition")
    for name, share in size_shares(study.table).items():
        met.add_row(name, *(f"{100 * value:.1f} %" for value in share))
    return [numbers, pairs, found, met]


def plot_study(study: Study, path: Path) -> None:
    """Write a PNG: above the distribution of each estimator, below its advantages in the most varied group.

    At the right: how many turns of a group meet in a state, and how many make the same transition.
    """
    names = list(study.advantages)
    columns = len(names) + 1
    figure, axes = pyplot.subplots(2, columns, figsize=(1.5 + 3.4 * columns, 6.5), layout="constrained", squeeze=False)
    rows, returns = _most_varied_group(study.table)
    for column, name in enumerate(names):
        advantage_N = study.advantages[name]
        scored = advantage_N[np.isfinite(advantage_N)]
        above, below = axes[0, column], axes[1, column]
        above.hist(scored, bins=41, color=BLUE)
        above.set(title=name, xlabel="advantage")
        if len(scored):
            above.set(yscale="log", ylim=(0.7, None))
            above.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        _heatmap(figure, below, study.table, advantage_N, rows, returns)
    for axis, (name, share) in zip(axes[:, -1], size_shares(study.table).items(), strict=True):
        _bars(axis, f"met in the same {name}" if name == "anchor state" else f"made the same {name}", 100 * share)
    axes[0, 0].set_ylabel("turns")
    axes[1, 0].set_ylabel("return of each episode of\nthe most varied group")
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130, format="png")
    pyplot.close(figure)


def _bars(axis: Any, title: str, percent: FloatN) -> None:
    """Draw shares by size, those that meet no other apart."""
    bars = axis.bar(list(SIZES), percent, color=[ORANGE, *[BLUE] * (len(SIZES) - 1)])
    axis.bar_label(bars, [f"{value:.0f} %" for value in percent], padding=2)
    axis.set(title=title, xlabel="number of turns that did", ylabel="% of turns", ylim=(0, 1.12 * percent.max()))


def _most_varied_group(table: TurnTable) -> tuple[dict[int, int], dict[int, float]]:
    """Return, for the episodes of the group with the largest spread of returns, their places and returns.

    Episodes are codes of the table's trajectories, best first.
    """
    return_M = sums(table.reward_N, table.trajectory_N, table.num_trajectories)
    judged_M = np.flatnonzero(table.verdict_N[table.first_row_M])
    spread_K = Moments.of(return_M[judged_M], table.group_M[judged_M], table.num_groups).std_K
    spread_K[np.setdiff1d(np.arange(table.num_groups), table.group_M[judged_M])] = -1.0
    members = judged_M[table.group_M[judged_M] == int(spread_K.argmax())]
    ordered = members[np.argsort(-return_M[members], kind="stable")].tolist()
    return {episode: place for place, episode in enumerate(ordered)}, {m: float(return_M[m]) for m in ordered}


def _heatmap(
    figure: Any, axis: Any, table: TurnTable, advantage_N: FloatN, rows: dict[int, int], returns: dict[int, float]
) -> None:
    """Draw advantages over turn (across) and episode (down), red below zero and blue above."""
    shown_N = np.isin(table.trajectory_N, list(rows))
    turn_N = table.turn_N[shown_N]
    image = np.full((len(rows), int(turn_N.max()) + 1), np.nan)
    image[[rows[episode] for episode in table.trajectory_N[shown_N].tolist()], turn_N] = advantage_N[shown_N]
    finite = image[np.isfinite(image)]
    limit = float(np.abs(finite).max()) if len(finite) and finite.any() else 1.0
    drawn = axis.imshow(image, aspect="auto", cmap="RdBu", vmin=-limit, vmax=limit, interpolation="nearest")
    axis.set_facecolor("#eeeeee")
    axis.set_yticks(range(len(rows)), [f"{value:.2g}" for value in returns.values()])
    axis.set_xlabel("turn")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.colorbar(drawn, ax=axis, shrink=0.8)
