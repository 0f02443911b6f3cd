"""The conformance kit: the contract of text environments as a list of laws, each of which can be checked.

Over an environment of one's own, one test per law::

    pytest --agentrl-env my_pkg:MyEnv-v0

or in Python, all at once::

    check_env(functools.partial(agentrl.make, "mine/MyEnv-v0"))

>>> print(contract().splitlines()[0])
reset: ``reset`` returns a string and an info without ``action_valid`` and ``outcome``: nothing was done yet.
"""

from collections.abc import Callable, Sequence

from agentrl.env import TextEnv
from agentrl.testing.branches import check_branch
from agentrl.testing.case import Case as Case
from agentrl.testing.case import ContractError as ContractError
from agentrl.testing.case import Law as Law
from agentrl.testing.determinism import (
    check_global_rng,
    check_independence,
    check_other_process,
    check_same_seed,
    check_seed_draws_task,
)
from agentrl.testing.episodes import (
    check_admissible,
    check_anchor_key_type,
    check_any_string,
    check_info,
    check_last_turn,
    check_order,
    check_render,
    check_reset,
    check_step,
    check_turn_limit,
)
from agentrl.testing.manners import check_leaks, check_surroundings, check_text
from agentrl.testing.snapshots import (
    check_equal_keys,
    check_equal_states,
    check_fork,
    check_restore,
    check_restore_elsewhere,
    check_restore_end,
    check_snapshot_level,
)
from agentrl.testing.tasks import (
    check_disjoint_splits,
    check_expert,
    check_solution,
    check_solution_anywhere,
    check_solution_leaves_no_trace,
    check_splits,
    check_task_ids,
    check_task_option,
    check_unknown_task,
)

LAWS: tuple[Law, ...] = (
    check_reset,
    check_step,
    check_info,
    check_any_string,
    check_admissible,
    check_order,
    check_turn_limit,
    check_last_turn,
    check_render,
    check_same_seed,
    check_seed_draws_task,
    check_other_process,
    check_independence,
    check_global_rng,
    check_anchor_key_type,
    check_equal_keys,
    check_equal_states,
    check_snapshot_level,
    check_restore,
    check_restore_elsewhere,
    check_restore_end,
    check_fork,
    check_branch,
    check_splits,
    check_task_ids,
    check_disjoint_splits,
    check_unknown_task,
    check_task_option,
    check_solution,
    check_solution_anywhere,
    check_solution_leaves_no_trace,
    check_expert,
    check_text,
    check_surroundings,
    check_leaks,
)
"""The whole contract, in the order in which it is best read."""


def contract() -> str:
    """Return the contract as text: one line per law, its name and its sentence."""
    return "\n".join(f"{law.__name__.removeprefix('check_')}: {(law.__doc__ or '').splitlines()[0]}" for law in LAWS)


def check_env(
    factory: Callable[[], TextEnv],
    *,
    seeds: Sequence[int] = (0, 1, 2),
    tasks: Sequence[str] | None = None,
    turns: int = 20,
) -> None:
    """Check every law of the contract on the environments that ``factory`` makes.

    Args:
      factory: makes a new environment; must be picklable, such as ``functools.partial(agentrl.make, "mine/Env-v0")``.
      seeds: an episode is played for each.
      tasks: ids of the tasks to play, each with each seed; by default the seed draws one.
      turns: how far random play goes in each episode.

    Raises:
      ContractError: one law or more are broken; the message has a paragraph for each.
      ConfigError: the factory cannot be pickled.
    """
    case, broken = Case(factory, seeds, tasks, turns), []
    for law in LAWS:
        try:
            law(case)
        except ContractError as error:
            broken.append(str(error))
    if broken:
        raise ContractError("\n\n".join(broken))
