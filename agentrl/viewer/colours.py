"""Colours of the viewer: told apart in every common form of colour blindness, and readable on white."""

from collections.abc import Iterable

from agentrl.env import Outcome

ENTROPY_STOPS = ("#2b1a9c", "#7a1fa2", "#b83280", "#dc5a52", "#f08a24", "#f5b32a")
"""From certain to uncertain: lightness rises all the way, and even its end stands out from white."""
OUTCOME_COLOURS = {Outcome.SUCCESS: "#0072b2", Outcome.FAILURE: "#c2410c", Outcome.TRUNCATED: "#6b7280"}
"""Outcomes have a shape of their own as well: a tick, a cross, a bar."""
INK, FAINT, PAPER = "#1f2430", "#9aa1ad", "#ffffff"


def entropy_colour(entropy: float, most: float) -> str:
    """Return the colour of an entropy on the scale from 0 to ``most`` nats.

    >>> entropy_colour(0.0, 2.0), entropy_colour(9.0, 2.0)
    ('#2b1a9c', '#f5b32a')
    """
    place = min(max(entropy / most, 0.0), 1.0) * (len(ENTROPY_STOPS) - 1) if most > 0 else 0.0
    below = min(int(place), len(ENTROPY_STOPS) - 2)
    one, two = (bytes.fromhex(ENTROPY_STOPS[number][1:]) for number in (below, below + 1))
    mixed = (round(a + (b - a) * (place - below)) for a, b in zip(one, two, strict=True))
    return "#" + bytes(mixed).hex()


def most_entropy(entropies: Iterable[float]) -> float:
    """Return the end of the scale: the largest entropy, rounded up to two digits; 1 where all are 0."""
    most = max(entropies, default=0.0)
    return max(round(most + 0.005, 2), 0.01) if most > 0 else 1.0
