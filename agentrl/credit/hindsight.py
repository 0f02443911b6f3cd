"""Turn advantages from how likely a turn's action is once the end of the episode is known (HCAPO).

Axis suffixes: ``_N`` turns, ``_M`` trajectories.
"""

import numpy as np

from agentrl.credit.group_relative import group_relative
from agentrl.credit.normalise import Scale, normalise
from agentrl.credit.returns import discounted_returns
from agentrl.credit.segments import FloatN, sums
from agentrl.credit.table import TurnTable, scored_rows
from agentrl.errors import ConfigError


@scored_rows
def hindsight_ratios(
    table: TurnTable, *, temperature: float = 5.0, clip_low: float = 0.8, clip_high: float = 1.2
) -> FloatN:
    """How much more likely than its episode's average a turn's action is to one who knows how the episode ended.

        ρ_t = clip(h_t / mean(h_k : turns of the episode), C_min, C_max),   h_t = exp(log h_t / T)

    log h_t is the column ``hindsight``: mean log-prob of the turn's tokens under the policy, told the end. The mean
    over the episode stands for the prior π(a|s). An episode that nobody asked about (NaN) has ρ = 1. Paper: HCAPO,
    arXiv:2603.08754, Eq. 6 and 7, as a transcription of the paper has them.

    Args:
      table: turns with ``hindsight``.
      temperature: T, above 0.
      clip_low: C_min.
      clip_high: C_max.

    Returns:
      shape (N,), dimensionless; NaN where there is no verdict.

    Raises:
      ConfigError: T is not positive, or C_min above C_max.
    """
    if temperature <= 0.0 or clip_low > clip_high:
        raise ConfigError(
            f"temperature is {temperature}, clip_low {clip_low}, clip_high {clip_high}: give a temperature above 0 and "
            "bounds in order"
        )
    hindsight_N = table.need("hindsight")
    known_N = np.isfinite(hindsight_N)
    likelihood_N = np.exp(np.where(known_N, hindsight_N, 0.0) / temperature)
    weight_N, trajectory_N, size = known_N.astype(np.float64), table.trajectory_N, table.num_trajectories
    count_M = sums(weight_N, trajectory_N, size)
    mean_M = sums(likelihood_N * weight_N, trajectory_N, size) / np.maximum(count_M, 1.0)
    ratio_N = np.divide(likelihood_N, mean_M[trajectory_N], out=np.ones(len(table)), where=known_N)
    return np.clip(ratio_N, clip_low, clip_high)


@scored_rows
def hcapo(
    table: TurnTable,
    *,
    gamma: float = 0.95,
    step_weight: float = 1.0,
    temperature: float = 5.0,
    clip_low: float = 0.8,
    clip_high: float = 1.2,
    smoothing: float = 1.0,
    scale: Scale = "std",
    invalid_penalty: float = 0.0,
    eps: float = 1e-6,
) -> FloatN:
    """Episode advantage plus what hindsight says of a turn, against all turns of the group.

        Q_t = ρ_t R_t,   Q̃_t = α Q_t + (1 - α) Q_{t+1}
        A_t = Aᴱ + ω z(Q̃_t : same group),  the second part at least 0 in a success

    Aᴱ is `group_relative`, ρ_t `hindsight_ratios`, R_t the discounted return; a last turn is not smoothed. With ω = 0
    this is GRPO. Paper (read in a transcription): HCAPO, arXiv:2603.08754, Eq. 3, 5-8, its do-no-harm mask (section
    4.3) and, with α = 0.5, its smoothing (appendix A). Its Eq. 8 speaks of statistics "at time step t", its algorithm
    and its theory of those of
    all turns of the group: so here. It has one reward, at the end.

    Args:
      table: turns with ``hindsight`` and ``success``.
      gamma: discount per turn.
      step_weight: ω.
      temperature: of the hindsight probability.
      clip_low: smallest ρ.
      clip_high: largest ρ.
      smoothing: α, 1 for none.
      scale: divide both parts by their standard deviation (ddof 1), or not.
      invalid_penalty: cost of an invalid action, reward units.
      eps: added to standard deviations.

    Returns:
      shape (N,); NaN where there is no verdict.
    """
    if invalid_penalty:
        table = table.with_reward(table.reward_N - invalid_penalty * table.invalid_N)
    ratio_N = hindsight_ratios(table, temperature=temperature, clip_low=clip_low, clip_high=clip_high)
    value_N = ratio_N * discounted_returns(table, gamma)
    later_N = value_N.copy()
    goes_on_N = table.before_N >= 0
    later_N[table.before_N[goes_on_N]] = value_N[goes_on_N]
    value_N = later_N + smoothing * (value_N - later_N)
    step_N = normalise(value_N, table.group_N, table.num_groups, scale=scale, eps=eps)
    step_N = np.where(table.need("success"), np.maximum(step_N, 0.0), step_N)
    return group_relative(table, scale=scale, eps=eps) + step_weight * step_N
