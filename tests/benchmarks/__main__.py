"""`make bench`: both benchmarks, one after the other; exits with 1 if either misses a target."""

import argparse
import sys

from tests.benchmarks import kinesis_bench, transitions_bench


def main() -> int:
    """Runs both; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", default="200000", help="events of the service, without latency")
    parser.add_argument("--entries", default="100000", help="audit entries of each way to put them")
    given = parser.parse_args()
    print("# Transitions\n")
    transitions = transitions_bench.main(["--events", given.events])
    print("\n# Audit entries to Kinesis\n")
    return transitions | kinesis_bench.main(["--entries", given.entries])


if __name__ == "__main__":
    sys.exit(main())
