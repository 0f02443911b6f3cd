"""Random turn tables, and the list of estimators that every law is checked over."""

from typing import Any

import numpy as np

from agentrl import credit
from agentrl.credit import TurnTable
from agentrl.seeding import generator

ESTIMATORS = {
    "discounted_returns": lambda table: credit.discounted_returns(table, 0.9),
    "group_relative": credit.group_relative,
    "group_relative-loo-turn": lambda table: credit.group_relative(table, baseline="leave_one_out", weight="turn"),
    "dr_grpo": credit.dr_grpo,
    "rloo": credit.rloo,
    "opo": credit.opo,
    "reinforce_plus_plus": credit.reinforce_plus_plus,
    "reinforce_plus_plus-baseline": lambda table: credit.reinforce_plus_plus(table, group_baseline=True),
    "anchor_state": credit.anchor_state,
    "gigpo": lambda table: credit.gigpo(table, invalid_penalty=0.1),
    "gigpo-authors": lambda table: credit.gigpo(table, invalid_penalty=0.1, dialect="authors"),
    "hgpo": credit.hgpo,
    "hgpo-episode": lambda table: credit.hgpo(table, episode=True, history=1),
    "srgpo": lambda table: credit.srgpo(table, seed=0, group_size=4),
    "salt": lambda table: credit.salt(table, base=credit.grpo, history=1),
    "branch_attribution": credit.branch_attribution,
    "brpo": lambda table: credit.brpo(table, seed=0, max_skew=1.0, tie=0.0),
    "hapo": credit.hapo,
    "tree_grpo": credit.tree_grpo,
    "treepo": credit.treepo,
    "treepo-segment": lambda table: credit.treepo(table, variant="segment"),
    "spo": lambda table: credit.spo(table, tracker=credit.SuccessTracker()),
    "mt_grpo": lambda table: credit.mt_grpo(table, turn_reward=table.reward_N),
    "vineppo": lambda table: credit.vineppo(table, values=np.where(table.invalid_N, np.nan, table.entropy_N)),
    "empg": lambda table: credit.empg(table, base=credit.grpo),
    "d3s": lambda table: credit.d3s(table, base=credit.grpo, keep=0.5),
    "unlikeliness": lambda table: credit.grpo(credit.unlikeliness(table)),
    "goal_returns": credit.goal_returns,
    "graphgpo": lambda table: credit.graphgpo(table, invalid_penalty=0.1),
    "g2po": lambda table: credit.g2po(table, invalid_penalty=0.1),
    "gagpo": lambda table: credit.gagpo(table, lam=0.5),
    "ecpo": credit.ecpo,
    "proxmo": credit.proxmo,
    "success_rate_weight": credit.success_rate_weight,
    "hindsight_ratios": credit.hindsight_ratios,
    "hcapo": lambda table: credit.hcapo(table, smoothing=0.5),
    "igpo": credit.igpo,
    "igpo-separate": lambda table: credit.igpo(table, norm="separate", gamma=0.9),
}
# what they return depends on the order of the rows, or is not 0 where nothing was earned
ORDERED = {"gigpo-authors", "srgpo", "d3s", "brpo"}
NOT_RELATIVE = {"discounted_returns", "gigpo-authors", "vineppo", "empg", "d3s", "unlikeliness", "goal_returns"}
NOT_RELATIVE |= {"success_rate_weight", "hindsight_ratios"}


def random_columns(seed: int, *, groups: int = 3, trajectories: int = 4, turns: int = 6) -> dict[str, Any]:
    """Columns of up to groups × trajectories episodes of 1 to ``turns`` turns, rows in order of time."""
    rng = generator(seed, "random_columns")
    columns: dict[str, list[Any]] = {name: [] for name in ("group", "trajectory", "turn", "reward", "anchor", "action")}
    columns |= {name: [] for name in ("next_anchor", "invalid", "tokens", "entropy", "logprob")}
    for group in range(groups):
        for member in range(trajectories):
            length = int(rng.integers(1, turns + 1))
            states = [f"state {rng.integers(0, 3)}" for _ in range(length + 1)]
            for turn in range(length):
                row = (f"task {group}", f"{group}/{member}", turn, float(rng.integers(-1, 3)), states[turn])
                row += (f"action {rng.integers(0, 2)}", states[turn + 1], bool(rng.random() < 0.2))
                row += (int(rng.integers(1, 9)), float(rng.random()), -float(rng.random()))
                for name, value in zip(columns, row, strict=True):
                    columns[name].append(value)
    return columns | _more(columns, generator(seed, "more"))


def _more(columns: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """Return the columns of those who ask for more than rewards and states."""
    count = len(columns["turn"])
    ends = {name: (f"state {rng.integers(0, 4)}", bool(rng.random() < 0.5)) for name in columns["trajectory"]}
    return {
        "final_anchor": [ends[name][0] for name in columns["trajectory"]],
        "success": [ends[name][1] for name in columns["trajectory"]],
        "text": [f"in room{rng.integers(0, 3)} there is item{rng.integers(0, 3)}" for _ in range(count)],
        "hindsight": (-3.0 * rng.random(count)).tolist(),
        "step_reward": (rng.random(count) - 0.5).tolist(),
    }


def random_forest(seed: int, *, groups: int = 2, trajectories: int = 5, turns: int = 5) -> dict[str, Any]:
    """Like `random_columns`, with trajectories forked from others: each repeats the turns before its branch point."""
    columns = random_columns(seed, groups=groups, trajectories=trajectories, turns=turns)
    rng = generator(seed, "random_forest")
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(columns["trajectory"]):
        rows.setdefault(name, []).append(row)
    whole: dict[str, list[dict[str, Any]]] = {}
    forest: list[dict[str, Any]] = []
    for name, mine in rows.items():
        group = name.split("/")[0]
        own = [{key: columns[key][row] for key in columns} for row in mine]
        earlier = [other for other in whole if other.split("/")[0] == group]
        parent, branch_turn = None, 0
        if earlier and rng.random() < 0.7:
            parent = earlier[rng.integers(0, len(earlier))]
            branch_turn = int(rng.integers(0, len(whole[parent]) + 1))
        prefix = whole[parent][:branch_turn] if parent else []
        full = [*prefix, *(turn | {"turn": len(prefix) + at} for at, turn in enumerate(own))]
        end = {key: own[0][key] for key in ("final_anchor", "success")}
        whole[name] = [turn | end | {"trajectory": name, "parent": parent, "branch_turn": branch_turn} for turn in full]
        forest += whole[name]
    return {key: [turn[key] for turn in forest] for key in [*columns, "parent", "branch_turn"]}


def shuffled(columns: dict[str, Any], seed: int) -> tuple[dict[str, Any], np.ndarray[Any, Any]]:
    """Return the columns with their rows in another order, and that order."""
    order = generator(seed, "shuffle").permutation(len(columns["turn"]))
    return {name: [values[row] for row in order] for name, values in columns.items()}, order


def table_of(columns: dict[str, Any], **more: Any) -> TurnTable:
    return TurnTable.from_columns(**columns, **more)
