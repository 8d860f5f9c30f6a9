"""`make worlds SEEDS=2000`, or `SEEDS=17:18`: as many simulated worlds as asked for, and what they took."""

import argparse
import sys
import time
from collections import Counter

import structlog

from tests.transitions.world.plans import plan_of
from tests.transitions.world.task import SimulatedTask
from tests.transitions.world.world import World


def seeds(text: str) -> range:
    """`2000` is the first 2,000 seeds, `17:18` is one of them."""
    first, colon, end = text.partition(":")
    return range(int(first), int(end)) if colon else range(int(text))


def main() -> int:
    """Runs the worlds; 1 if a law was broken in one of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=seeds, default=seeds("200"))
    chosen = parser.parse_args().seeds
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    totals: Counter[str] = Counter()
    broken: list[int] = []
    since = time.process_time()
    for seed in chosen:
        world = World(seed, plan_of(seed), SimulatedTask)
        begun = time.process_time()
        try:
            world.run()
        except Exception as error:  # noqa: BLE001 - the next seeds are of interest too
            broken.append(seed)
            print(f"seed {seed}: {type(error).__name__}: {error}\n  {world.plan}", file=sys.stderr)
        totals["events"] += len(world.traffic)
        totals["simulated seconds"] += int(world.clock.time)
        totals["slow"] += time.process_time() - begun > 0.5
    seconds = time.process_time() - since
    hours = totals["simulated seconds"] / 3_600
    print(
        f"{len(chosen)} worlds, {totals['events']:,} events, {hours:,.1f} simulated hours,"
        f" {seconds:.0f} s of CPU ({totals['slow']} above 0.5 s), {len(broken)} broken"
    )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
