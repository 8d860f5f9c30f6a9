"""What a soak does, decided before it begins: waves of exports, what fails, when shards roll over.

Exports come in waves, each of them the traffic of a run of `tests.faults` with its own seed. A wave's
exports end shortly after one another, and the waves follow so closely that events, expiries and faults are
the same all the time.
"""

import itertools
import math
import random
from dataclasses import dataclass
from datetime import UTC, datetime

from tests.faults.fault_plan import USUAL_RATES, Episode, FaultPlan
from tests.faults.schedule import OUTAGE_FAULTS, OUTAGE_OPERATIONS
from tests.faults.traffic import (
    ENDS_WITHIN_SECONDS,
    REORDERED_WITHIN_SECONDS,
    REPEATED_WITHIN_SECONDS,
    Traffic,
    traffic,
)

LEAST_WAVE_SECONDS = 4.0
LEAST_WAVE_MESSAGES = 400
"""Below it the courses and the poison that each wave has at least once would be too large a part of it."""

MESSAGES_PER_EXPORT = 4
LEAST_EXPORTS = 20
SHORTEST_LEAD_SECONDS = 30.0
LONGEST_LEAD_SECONDS = 60.0
"""From a wave's last message to the end of its exports: back-offs and redeliveries must fit in."""

REPEATED_AT = 0.4
"""The part of the lead after which an operator deletes items and producers report their exports again."""

OUTAGE_EVERY_SECONDS = 30.0
OUTAGE_SECONDS = (1.0, 3.0)
ROLL_EVERY_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Course:
    """What was asked for, and what follows from it. Durations are in seconds from the first message on."""

    seconds: float
    rate: float
    """Events a second. Those that come after their export's end, or after a deletion, come on top."""
    tasks: int
    seed: int
    sample_seconds: float

    @property
    def waves(self) -> int:
        """How many waves there are."""
        return max(1, int(self.seconds / max(LEAST_WAVE_SECONDS, LEAST_WAVE_MESSAGES / self.rate)))

    @property
    def wave_seconds(self) -> float:
        """From one wave's beginning to the next one's."""
        return self.seconds / self.waves

    @property
    def lead_seconds(self) -> float:
        """From a wave's last message to the end of its exports."""
        return min(LONGEST_LEAD_SECONDS, max(SHORTEST_LEAD_SECONDS, self.seconds / 4 - 20))

    @property
    def reported_seconds(self) -> float:
        """From a wave's beginning to its last message."""
        return self.wave_seconds + REORDERED_WITHIN_SECONDS + REPEATED_WITHIN_SECONDS

    @property
    def life_seconds(self) -> float:
        """From a wave's beginning to the end of its last export."""
        return self.reported_seconds + self.lead_seconds

    @property
    def repeated_seconds(self) -> float:
        """From a wave's beginning to the deletions by hand."""
        return self.reported_seconds + REPEATED_AT * self.lead_seconds

    @property
    def can_show_growth(self) -> bool:
        """Whether its second quarter begins when exports have begun to end: before, memory has to grow."""
        return self.seconds / 4 >= self.life_seconds - ENDS_WITHIN_SECONDS

    def seed_of(self, wave: int) -> int:
        """A wave's own seed."""
        return self.seed * 1_000_000 + wave

    def traffic_of(self, wave: int, begins: float) -> Traffic:
        """A wave's messages.

        Args:
            wave: its number, from 0.
            begins: when its first message is sent (Unix seconds).
        """
        messages = round(self.rate * self.wave_seconds)
        return traffic(
            seed=self.seed_of(wave),
            exports=max(LEAST_EXPORTS, messages // MESSAGES_PER_EXPORT),
            messages=messages,
            # Exports begin over the time of one wave, so that the beginnings of all waves meet.
            seconds=self.wave_seconds + REORDERED_WITHIN_SECONDS,
            begins=datetime.fromtimestamp(begins, UTC),
            ends=datetime.fromtimestamp(begins + self.life_seconds, UTC),
        )

    def plan(self) -> FaultPlan:
        """The usual rates all the time, and in each half minute one short outage."""
        dice = random.Random(f"outages {self.seed}")
        episodes = []
        for number in range(math.ceil(self.seconds / OUTAGE_EVERY_SECONDS)):
            begin = OUTAGE_EVERY_SECONDS * number + dice.uniform(0, OUTAGE_EVERY_SECONDS / 2)
            end = begin + dice.uniform(*OUTAGE_SECONDS)
            episodes.append(Episode(dice.choice(OUTAGE_OPERATIONS), dice.choice(OUTAGE_FAULTS), begin, end))
        return FaultPlan(self.seed, USUAL_RATES, tuple(episodes))

    def rolls(self) -> tuple[float, ...]:
        """When every shard of the table's stream rolls over."""
        times = (ROLL_EVERY_SECONDS * (number + 0.5) for number in itertools.count())
        return tuple(itertools.takewhile(lambda time: time < self.seconds, times))
