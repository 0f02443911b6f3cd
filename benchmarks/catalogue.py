"""The web shop's generated catalogue: how fast products and goals are made, and what many of them cost.

    python benchmarks/catalogue.py --products 100000

Times are CPU seconds of one process; a catalogue ten times as large is made from start to end beside the given one. The
peak of memory is that of the whole process. The last line is JSON.
"""

import argparse
import json
import resource
import time
from collections import deque

from agentrl_envs.webshop.catalogue.difficulty import DIFFICULTIES
from agentrl_envs.webshop.catalogue.goals import SPLITS, GeneratedCatalogue


def time_products(number: int) -> float:
    """Return the CPU seconds for making all products of a catalogue, none of which are kept."""
    stock = GeneratedCatalogue(products=number).stock
    begin = time.process_time()
    deque(stock, maxlen=0)
    return time.process_time() - begin


def time_goals(difficulty: str, split: str, number: int) -> float:
    """Return the CPU milliseconds for a goal of a split."""
    shop = GeneratedCatalogue(products=1_000_000, difficulty=difficulty)
    begin = time.process_time()
    for at in range(number):
        shop.load(f"{split}/{at}")
    return 1_000 * (time.process_time() - begin) / number


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--products", type=int, default=100_000, help="of the larger catalogue")
    parser.add_argument("--goals", type=int, default=500, help="of each split and difficulty")
    arguments = parser.parse_args()
    small, large = (time_products(number) for number in (arguments.products // 10, arguments.products))
    result = {
        "products_per_s": arguments.products / large,
        "ten_times_the_products_cost": large / small,
        **{
            f"ms_per_goal_{difficulty}_{split}": time_goals(difficulty, split, arguments.goals)
            for difficulty in DIFFICULTIES
            for split in SPLITS
        },
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    for name, value in result.items():
        print(f"{name:36} {value:10.2f}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
