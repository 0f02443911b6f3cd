"""Returns: what a turn, or a whole trajectory, earned."""

from agentrl.credit.segments import FloatN, sums
from agentrl.credit.table import TurnTable, scored_rows
from agentrl.errors import ConfigError


def check_gamma(gamma: float, name: str = "gamma") -> None:
    """Raise ConfigError unless 0 <= gamma <= 1."""
    if not 0.0 <= gamma <= 1.0:
        raise ConfigError(f"{name} is {gamma}: a discount is between 0 and 1")


@scored_rows
def discounted_returns(table: TurnTable, gamma: float) -> FloatN:
    """Discounted sum of the rewards from each turn to the end of its trajectory.

        R_t = r_t + γ R_{t+1},  R_T = 0

    γ = 0 gives the reward, γ = 1 the plain sum. Nothing is bootstrapped at the end of a truncated episode. Time is the
    order of ``turn``; a gap in the numbers does not discount. Paper: GiGPO, arXiv:2505.10978, Eq. 5 (matches).

    Args:
      table: turns.
      gamma: discount per turn, 0 to 1.

    Returns:
      shape (N,), reward units; NaN where there is no verdict.

    >>> table = TurnTable.from_columns(group=[0] * 3, trajectory=[0] * 3, turn=[0, 1, 2], reward=[1, 0, 4])
    >>> discounted_returns(table, 0.5)
    array([2., 2., 4.])
    """
    check_gamma(gamma)
    return table.to_go(table.reward_N, gamma)


def episode_returns(table: TurnTable) -> FloatN:
    """Undiscounted sum of the rewards of each trajectory, shape (M,), added in time order."""
    return sums(table.in_time(table.reward_N), table.in_time(table.trajectory_N), table.num_trajectories)
