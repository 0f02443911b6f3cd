"""Turn advantages of actions in a state, trusted as far as there is evidence for them (ECPO).

Axis suffixes: ``_N`` turns, ``_S`` states of groups, ``_A`` actions in them.
"""

import numpy as np

from agentrl.credit.group_relative import group_relative
from agentrl.credit.normalise import Moments, Scale, normalise
from agentrl.credit.returns import discounted_returns
from agentrl.credit.segments import FloatN, pair, sums
from agentrl.credit.table import TurnTable, scored_rows
from agentrl.errors import ConfigError


@scored_rows
def ecpo(
    table: TurnTable,
    *,
    gamma: float = 0.95,
    step_weight: float = 1.0,
    prior: float = 2.0,
    maturity: float = 4.0,
    scale: Scale = "std",
    invalid_penalty: float = 0.0,
    eps: float = 1e-6,
) -> FloatN:
    """Episode advantage plus the advantage of an action in its state: shrunk where rare, weighed down where noisy.

        μ̃(s, u) = (n_su Ḡ_su + κ μ_s) / (n_su + κ),   A_act = z(μ̃(s, u) : same state)
        ρ(s) = tanh(n_s / τ) B_s / (B_s + W_s + ε)
        A_t = Aᴱ + ω ρ(s) A_act(s, u)

    Ḡ_su is the mean discounted return of the n_su turns that did u in s, μ_s that of all n_s in s; B_s and W_s are the
    variances between and within the actions, B_s + W_s that of the returns. Equal actions of a state have equal A_act,
    and a state in which only one thing was done adds nothing: this is then GRPO, as with ω = 0. With κ = 0, τ -> 0 and
    no action done twice in a state it is `gigpo`.

    Paper: ECPO, arXiv:2606.05885. No code of its authors is public; this is the rule as two independent readers state
    it, κ = 2 included. Left open there and chosen here: τ, that z is over the turns of the state (ddof 1), and that two
    actions are the same if what was sent to the environment is.

    Args:
      table: turns with ``anchor`` and ``action``.
      gamma: discount per turn.
      step_weight: ω.
      prior: κ, how many turns the state's mean counts as.
      maturity: τ, turns in a state.
      scale: divide both parts by their standard deviation, or not.
      invalid_penalty: cost of an invalid action, reward units.
      eps: added to standard deviations, and ε.

    Returns:
      shape (N,); NaN where there is no verdict.

    Raises:
      ConfigError: κ is negative, or τ not positive.
    """
    if prior < 0.0 or maturity <= 0.0:
        raise ConfigError(f"prior is {prior} and maturity {maturity}: give a prior from 0 and a maturity above 0")
    if invalid_penalty:
        table = table.with_reward(table.reward_N - invalid_penalty * table.invalid_N)
    state_N, num_states = pair(table.group_N, table.need("anchor"))
    action_N, num_actions = pair(state_N, table.need("action"))
    return_N = discounted_returns(table, gamma)
    state = Moments.of(return_N, state_N, num_states)
    action = Moments.of(return_N, action_N, num_actions)
    mean_N, middle_N, count_N = action.mean_K[action_N], state.mean_K[state_N], action.count_K[action_N]
    # the same as the definition, and exactly the state's mean where that is the action's
    shrunk_N = middle_N + (mean_N - middle_N) * count_N / (count_N + prior)
    between_S = sums((mean_N - middle_N) ** 2, state_N, num_states) / state.count_K
    within_S = sums((return_N - mean_N) ** 2, state_N, num_states) / state.count_K
    total_S = between_S + within_S + eps
    share_S = np.divide(between_S, total_S, out=np.zeros(num_states), where=total_S > 0.0)
    trust_S = np.tanh(state.count_K / maturity) * share_S
    act_N = normalise(shrunk_N, state_N, num_states, scale=scale, eps=eps)
    return group_relative(table, scale=scale, eps=eps) + step_weight * trust_S[state_N] * act_N
