"""The configuration of a run: its sections, and how it is read."""

from agentrl.trainer.config.policy import BuildConfig as BuildConfig
from agentrl.trainer.config.policy import ContextConfig as ContextConfig
from agentrl.trainer.config.policy import DemonstratorConfig as DemonstratorConfig
from agentrl.trainer.config.policy import PolicyConfig as PolicyConfig
from agentrl.trainer.config.policy import WarmStartConfig as WarmStartConfig
from agentrl.trainer.config.reading import load_config as load_config
from agentrl.trainer.config.reading import parse_config as parse_config
from agentrl.trainer.config.reading import parse_override as parse_override
from agentrl.trainer.config.rollout import CurriculumConfig as CurriculumConfig
from agentrl.trainer.config.rollout import EngineConfig as EngineConfig
from agentrl.trainer.config.rollout import EvalConfig as EvalConfig
from agentrl.trainer.config.rollout import RollInConfig as RollInConfig
from agentrl.trainer.config.rollout import RolloutConfig as RolloutConfig
from agentrl.trainer.config.update import CriticConfig as CriticConfig
from agentrl.trainer.config.update import FilterConfig as FilterConfig
from agentrl.trainer.config.update import LossConfig as LossConfig
from agentrl.trainer.config.update import UpdateConfig as UpdateConfig
from agentrl.trainer.config.whole import Config as Config
from agentrl.trainer.config.whole import EnvConfig as EnvConfig
from agentrl.trainer.config.whole import RunConfig as RunConfig
