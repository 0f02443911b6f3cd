"""Credit assignment: pure NumPy functions from columns of turns to advantages of turns.

An *estimator* takes a `TurnTable` of N turns and returns float64 advantages, shape (N,), NaN where a turn is not
scored. A *transform* takes such advantages as well, so that methods compose.
"""

from agentrl.credit.branches.branch import branch_attribution as branch_attribution
from agentrl.credit.branches.tree import tree_grpo as tree_grpo
from agentrl.credit.branches.tree import treepo as treepo
from agentrl.credit.brpo import brpo as brpo
from agentrl.credit.gae import bilevel_gae as bilevel_gae
from agentrl.credit.gae import gae as gae
from agentrl.credit.gae import turn_discounts as turn_discounts
from agentrl.credit.group_relative import dr_grpo as dr_grpo
from agentrl.credit.group_relative import group_relative as group_relative
from agentrl.credit.group_relative import grpo as grpo
from agentrl.credit.group_relative import opo as opo
from agentrl.credit.group_relative import reinforce_plus_plus as reinforce_plus_plus
from agentrl.credit.group_relative import rloo as rloo
from agentrl.credit.hindsight import hcapo as hcapo
from agentrl.credit.hindsight import hindsight_ratios as hindsight_ratios
from agentrl.credit.information import igpo as igpo
from agentrl.credit.multi_turn import mt_grpo as mt_grpo
from agentrl.credit.multi_turn import vine_values as vine_values
from agentrl.credit.multi_turn import vineppo as vineppo
from agentrl.credit.returns import discounted_returns as discounted_returns
from agentrl.credit.spo import SuccessTracker as SuccessTracker
from agentrl.credit.spo import spo as spo
from agentrl.credit.srgpo import srgpo as srgpo
from agentrl.credit.states.anchor_state import anchor_groups as anchor_groups
from agentrl.credit.states.anchor_state import anchor_state as anchor_state
from agentrl.credit.states.anchor_state import gigpo as gigpo
from agentrl.credit.states.evidence import ecpo as ecpo
from agentrl.credit.states.goal_distance import goal_returns as goal_returns
from agentrl.credit.states.goal_distance import graphgpo as graphgpo
from agentrl.credit.states.graph import salt as salt
from agentrl.credit.states.graph import trajectory_graph as trajectory_graph
from agentrl.credit.states.hgpo import hgpo as hgpo
from agentrl.credit.states.proximity import proxmo as proxmo
from agentrl.credit.states.proximity import soft_anchor as soft_anchor
from agentrl.credit.states.proximity import success_rate_weight as success_rate_weight
from agentrl.credit.states.state_values import g2po as g2po
from agentrl.credit.states.state_values import gagpo as gagpo
from agentrl.credit.table import TurnTable as TurnTable
from agentrl.credit.token_weighted import hapo as hapo
from agentrl.credit.transforms import d3s as d3s
from agentrl.credit.transforms import d3s_schedule as d3s_schedule
from agentrl.credit.transforms import empg as empg
from agentrl.credit.transforms import unlikeliness as unlikeliness
