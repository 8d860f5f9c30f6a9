"""`make bench`: the benchmarks, one after the other; exits with 1 if one of them misses a target."""

import argparse
import sys

from tests.benchmarks import days_bench, kinesis_bench, stream_bench, transitions_bench


def main() -> int:
    """Runs them all; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", default="200000", help="events of the service, without latency")
    parser.add_argument("--entries", default="100000", help="audit entries of each way to put them")
    given = parser.parse_args()
    print("# Transitions\n")
    transitions = transitions_bench.main(["--events", given.events])
    print()
    days = days_bench.main([])
    print("\n# Records of the table's stream\n")
    stream = stream_bench.main([])
    print("\n# Audit entries to Kinesis\n")
    return transitions | days | stream | kinesis_bench.main(["--entries", given.entries])


if __name__ == "__main__":
    sys.exit(main())
