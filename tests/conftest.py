import pytest

import agentrl_envs  # noqa: F401  registers the environments also from a checkout that is not installed

DEPRECATIONS = ("DeprecationWarning", "PendingDeprecationWarning", "FutureWarning")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--newest", action="store_true", help="report deprecations of other packages, which are errors otherwise"
    )


def pytest_configure(config: pytest.Config) -> None:
    """With --newest, a deprecation is an error only where Python blames our modules: there the call can be mended."""
    if config.getoption("--newest"):
        for category in DEPRECATIONS:
            config.addinivalue_line("filterwarnings", f"default::{category}")
            config.addinivalue_line("filterwarnings", rf"error::{category}:agentrl(_envs|_tools)?(\..*)?$")
