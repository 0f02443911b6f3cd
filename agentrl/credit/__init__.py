"""Credit assignment: pure NumPy functions from columns of turns to advantages of turns.

An *estimator* takes a `TurnTable` of N turns and returns float64 advantages, shape (N,), NaN where a turn is not
scored. A *transform* takes such advantages as well, so that methods compose.
"""

from agentrl.credit.anchor_state import anchor_groups as anchor_groups
from agentrl.credit.anchor_state import anchor_state as anchor_state
from agentrl.credit.anchor_state import gigpo as gigpo
from agentrl.credit.group_relative import dr_grpo as dr_grpo
from agentrl.credit.group_relative import group_relative as group_relative
from agentrl.credit.group_relative import grpo as grpo
from agentrl.credit.group_relative import opo as opo
from agentrl.credit.group_relative import reinforce_plus_plus as reinforce_plus_plus
from agentrl.credit.group_relative import rloo as rloo
from agentrl.credit.returns import discounted_returns as discounted_returns
from agentrl.credit.table import TurnTable as TurnTable
