"""From a run's directory to its page and picture."""

from collections.abc import Sequence
from pathlib import Path

from agentrl.algorithms.base import make_recipe
from agentrl.errors import AgentrlError, DataError, nearest
from agentrl.lab.credit_study import load_episodes
from agentrl.trainer.config import Config, parse_config
from agentrl.trainer.config.yaml_tree import parse_yaml
from agentrl.trainer.credit import table_for
from agentrl.types import Trajectory
from agentrl.viewer.layout import lay_out
from agentrl.viewer.page import Advantages, write_page
from agentrl.viewer.picture import draw_forest


def view_run(
    run: Path,
    *,
    iteration: int | None = None,
    group: str | None = None,
    out: Path | None = None,
    png: Path | None = None,
) -> list[Path]:
    """Write the page of a run's stored iteration, and a picture of one group if asked for; return their paths.

    Args:
      run: directory of the run.
      iteration: a stored one; None is the newest.
      group: show one group only: its name, or its number in the iteration.
      out: where the page goes; None is ``index.html`` in the run's directory.
      png: where the picture goes: of ``group``, or of the group with the most branches; None draws none.

    Raises:
      DataError: no such run, iteration, group or folder; says what there is.
    """
    chosen, trajectories = load_episodes(run, iteration)
    page = out or run / "index.html"
    for path in (page, png):
        if path is not None and not path.parent.is_dir():
            raise DataError(f"no folder {path.parent} for {path.name}: make it, or choose another path")
    config = _config(run)
    facts = {"run": str(run), "iteration": str(chosen)}
    if config is not None:
        facts |= {"environment": config.env.id, "algorithm": str(config.algorithm["name"])}
    advantages, reason = recomputed_advantages(config, trajectories)
    if reason:
        facts["advantages"] = f"not shown: {reason}"
    if group is not None:
        name = _group_name(group, trajectories)
        trajectories = [trajectory for trajectory in trajectories if trajectory.group == name]
    write_page(
        page, trajectories, title=f"{run.resolve().name}, iteration {chosen}", facts=facts, advantages=advantages
    )
    if png is None:
        return [page]
    name, members = _most_branched(trajectories)
    draw_forest(lay_out(members), png, f"{run.resolve().name}: group {name}")
    return [page, png]


def recomputed_advantages(
    config: Config | None, trajectories: Sequence[Trajectory]
) -> tuple[Advantages | None, str | None]:
    """Return the advantages of the run's algorithm on these trajectories, or None and why not.

    They are those of the iteration, except that a group filter is not applied again.
    """
    if config is None:
        return None, "the run has no config.yaml of this version"
    verdicts = [trajectory for trajectory in trajectories if trajectory.outcome.is_verdict and trajectory.turns]
    try:
        recipe = make_recipe(config.algorithm)
        if recipe.remembers:
            return None, f"{recipe.name} remembers earlier iterations"
        flat = recipe.advantages(table_for(recipe, verdicts)).tolist()
    except AgentrlError as error:
        return None, str(error)
    values = iter(flat)
    return {trajectory.id: [next(values) for _ in trajectory.turns] for trajectory in verdicts}, None


def _config(run: Path) -> Config | None:
    """Return the run's configuration; None where there is none that this version can read."""
    try:
        return parse_config(parse_yaml((run / "config.yaml").read_text(encoding="utf-8"), "config.yaml"))
    except (OSError, UnicodeDecodeError, AgentrlError):
        return None


def _group_name(asked: str, trajectories: Sequence[Trajectory]) -> str:
    names = list(dict.fromkeys(trajectory.group for trajectory in trajectories))
    if asked in names:
        return asked
    if asked.isdigit() and int(asked) < len(names):
        return names[int(asked)]
    raise DataError(f"no group {asked!r} among {len(names)}{nearest(asked, names)}: give a name, or a number from 0")


def _most_branched(trajectories: Sequence[Trajectory]) -> tuple[str, list[Trajectory]]:
    """Return the group with the most branches, then the most outcomes, and its trajectories with a verdict."""
    groups: dict[str, list[Trajectory]] = {}
    for trajectory in trajectories:
        if trajectory.outcome.is_verdict and trajectory.turns:
            groups.setdefault(trajectory.group, []).append(trajectory)
    if not groups:
        raise DataError("no group has a trajectory with a verdict: there is nothing to draw")
    return max(
        groups.items(),
        key=lambda item: (sum(one.parent is not None for one in item[1]), len({one.outcome for one in item[1]})),
    )
