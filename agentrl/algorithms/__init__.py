"""Named recipes: credit assignment with the loss settings it goes with."""

from agentrl.algorithms.beyond import ECPO, G2PO, GAGPO, HCAPO, IGPO, GraphGPO, ProxMO
from agentrl.algorithms.branching import AEPO, ARPO, LATR, TreeGRPO, TreePO
from agentrl.algorithms.clipping import CISPO, DAPO, GSPO, LOOP, SAPO
from agentrl.algorithms.critic import POAD, PPO, TurnPPO
from agentrl.algorithms.gigpo import GiGPO
from agentrl.algorithms.grpo import GRPO, OPO, RLOO, DrGRPO
from agentrl.algorithms.helped import RLGF, DatasetReset, ScafGRPO
from agentrl.algorithms.hgpo import HGPO
from agentrl.algorithms.pairs import DRPO, P3O, TRPA
from agentrl.algorithms.reinforce import OPMD, REC, AsymRE, ReinforcePlusPlus, ReinforcePlusPlusBaseline
from agentrl.algorithms.relatives import BRPO, HAPO, MDPO, Thinkless
from agentrl.algorithms.salsa import SALSA
from agentrl.algorithms.spo import SPO
from agentrl.algorithms.step_rewards import MTGRPO, SRGPO
from agentrl.algorithms.transforms import D3S, EMPG, SALT, Unlikeliness
from agentrl.algorithms.vineppo import VinePPO

BUILTIN = (
    *(GRPO, DrGRPO, RLOO, OPO, ReinforcePlusPlus, ReinforcePlusPlusBaseline),
    *(DAPO, GSPO, CISPO, SAPO, LOOP, REC, OPMD, AsymRE),
    *(MDPO, HAPO, BRPO, Thinkless, SALSA, DRPO, TRPA, P3O),
    *(DatasetReset, RLGF, ScafGRPO),
    *(GiGPO, HGPO, SRGPO, MTGRPO, SPO),
    *(GraphGPO, G2PO, GAGPO, ECPO, ProxMO, HCAPO, IGPO),
    *(SALT, EMPG, D3S, Unlikeliness),
    *(TreeGRPO, TreePO, ARPO, AEPO, LATR, VinePPO),
    *(PPO, TurnPPO, POAD),
)
"""Every algorithm that comes with agentrl."""
