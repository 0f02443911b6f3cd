"""Arithmetic as Python computes it, without running code and without bombs."""

import pytest

from agentrl_envs.toolbox.arithmetic import evaluate


@pytest.mark.parametrize(
    "expression", ["1+2*3", " (1.5 - 4)/-2", "7//2", "2**-1", "-(-3)", "10**400/10**399", "(-8)**(1/3)", "+.5", "1e3"]
)
def test_values(expression: str) -> None:
    assert evaluate(expression) == eval(expression.strip())


@pytest.mark.parametrize(
    "expression", ["1/0", "1 +", "007", "1(2)", "..*2", "9**9**9**9", "(" * 500, "a", "[1]", "f()"]
)
def test_errors(expression: str) -> None:
    with pytest.raises((ArithmeticError, SyntaxError, TypeError, MemoryError, KeyError)):
        evaluate(expression)
