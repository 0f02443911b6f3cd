import agentrl_envs  # noqa: F401  registers the environments also from a checkout that is not installed
