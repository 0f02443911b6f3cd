import gymnasium
from gymnasium.envs.registration import namespace


def pytest_configure() -> None:
    """Register the environments when the tests run from a checkout that is not installed."""
    if "agentrl/Household-v0" not in gymnasium.registry:
        import agentrl_envs

        with namespace("agentrl"):
            agentrl_envs.register_envs()
