"""Named recipes: credit assignment with the loss settings it goes with."""

from agentrl.algorithms.gigpo import GiGPO
from agentrl.algorithms.grpo import GRPO

BUILTIN = (GRPO, GiGPO)
