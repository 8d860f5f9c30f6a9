"""A run drawn from a seed: how much traffic, how many tasks, what fails, and what is done to the tasks."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum

from tests.faults.fault_plan import USUAL_RATES, Episode, Fault, FaultPlan
from tests.faults.traffic import ENDS_WITHIN_SECONDS, LATE_WITHIN_SECONDS

EARLIEST_END_SECONDS = ENDS_WITHIN_SECONDS + 1.0
"""So long before the planned end the first export counts as gone: its ttl is in whole seconds."""

LATE_AFTER_SECONDS = 3.0
"""From the end of the last export to the first late message."""

REAPED_AFTER_SECONDS = EARLIEST_END_SECONDS + LATE_AFTER_SECONDS + LATE_WITHIN_SECONDS
"""So late that half of the late messages find an item that has expired and is still there."""


class Move(Enum):
    """Something that happens to a task, or to the table's stream."""

    KILL = "SIGKILL"
    PAUSE = "SIGSTOP for longer than the failover time"
    TERMINATE = "SIGTERM"
    RESHARD = "a shard splits or rolls over"
    ROLL_ALL = "all shards roll over"
    HEAL = "no more faults"


class Once(Enum):
    """What a move waits for, besides its time."""

    NOTHING = "nothing"
    SINK_FAILED = "the audit stream has refused entries"
    AUDITED = "all exports that expired are audited"


@dataclass(frozen=True, slots=True)
class Action:
    """A move and its time, in seconds from the beginning of the part of the run that it belongs to."""

    at: float
    move: Move
    once: Once = Once.NOTHING
    """Waited for at most `run.PATIENCE_SECONDS`."""


@dataclass(frozen=True, slots=True)
class Size:
    """How large a run is."""

    exports: int
    messages: int
    sending_seconds: float
    lead_seconds: float
    """From the first message to the end of the exports: everything must be settled before."""
    visibility_seconds: int = 30


OUTAGE_OPERATIONS = ("SQS.", "Status.", "Leases.", "Streams.", "Kinesis.", "SQS.DeleteMessageBatch", "")
"""What an outage may hit; nothing stands for everything."""

OUTAGE_FAULTS = (Fault.THROTTLE, Fault.ERROR, Fault.RESET, Fault.LOST_ANSWER)

SHORT = Size(exports=150, messages=600, sending_seconds=6, lead_seconds=32, visibility_seconds=8)
USUAL = Size(exports=600, messages=2_400, sending_seconds=20, lead_seconds=100)
LARGE = Size(exports=5_000, messages=20_000, sending_seconds=150, lead_seconds=330)
SIZES: Mapping[str, Size] = {"short": SHORT, "usual": USUAL, "large": LARGE}


@dataclass(frozen=True, slots=True)
class Schedule:
    """Everything about a run that is decided before it begins."""

    seed: int
    size: Size
    tasks: int
    receivers: int
    write_mode: str
    shards: int
    failover_seconds: int
    plan: FaultPlan
    ending_plan: FaultPlan
    """What fails from the exports' end on."""
    while_sending: tuple[Action, ...]
    while_ending: tuple[Action, ...]
    audited_within_seconds: float = 120.0
    """From the last late message on."""
    reaped_after_seconds: float = REAPED_AFTER_SECONDS
    """How late half of the expired items are deleted."""
    fast_calls: str = "on"
    """EXPORT_FAST_CALLS; drawn schedules take turns."""
    broken_law: str | None = None
    """Which law the service breaks, in tests of the checker (`broken_service`)."""

    def with_more_time(self, factor: int) -> "Schedule":
        """The same for a busy machine, which settles the messages later: the exports end later."""
        return replace(self, size=replace(self.size, lead_seconds=factor * self.size.lead_seconds))

    @property
    def pause_seconds(self) -> float:
        """How long a paused task stays so."""
        return self.failover_seconds * 1.5 + 1

    def describe(self) -> str:
        """One line for the report."""
        moves = [action.move.name.lower() for action in (*self.while_sending, *self.while_ending)]
        counts = ", ".join(f"{moves.count(name)} {name}" for name in dict.fromkeys(moves))
        return (
            f"seed {self.seed}: {self.size.exports} exports, {self.size.messages} messages,"
            f" {self.tasks} tasks, writes {self.write_mode}, fast calls {self.fast_calls}; {counts}"
        )


def draw(seed: int, size: Size) -> Schedule:
    """The schedule of a seed."""
    dice = random.Random(f"schedule {seed}")
    sending = size.sending_seconds
    ending = max(8.0, sending / 2)
    must = [Move.KILL, Move.PAUSE, Move.TERMINATE]
    may = [Move.KILL, Move.PAUSE, Move.TERMINATE, Move.RESHARD, Move.RESHARD, Move.ROLL_ALL]
    more = 1 + round(sending / 20)
    return Schedule(
        seed=seed,
        size=size,
        tasks=dice.randint(2, 4),
        receivers=dice.choice([2, 4]),
        write_mode=dice.choice(["auto", "batch", "single"]),
        fast_calls=("auto", "on", "off")[seed % 3],
        shards=dice.choice([1, 2, 4]),
        failover_seconds=dice.choice([2, 3]),
        plan=FaultPlan(seed=seed, rates=USUAL_RATES, episodes=_episodes(dice, sending)),
        ending_plan=FaultPlan(seed=seed + 1, rates=USUAL_RATES, episodes=_episodes(dice, ending)),
        while_sending=_actions(dice, [*must, *dice.choices(may, k=more)], sending),
        while_ending=_actions(dice, [*must, Move.RESHARD, *dice.choices(may, k=more)], ending),
    )


def _actions(dice: random.Random, moves: list[Move], seconds: float) -> tuple[Action, ...]:
    return tuple(
        sorted((Action(dice.uniform(0.5, seconds), move) for move in moves), key=lambda action: action.at)
    )


def _episodes(dice: random.Random, seconds: float) -> tuple[Episode, ...]:
    """Short outages: one of the table, and one of anything."""
    episodes = []
    for operations in ("Status.", dice.choice(OUTAGE_OPERATIONS)):
        begin = dice.uniform(0, seconds)
        length = dice.uniform(1, 1 + seconds / 10)
        episodes.append(Episode(operations, dice.choice(OUTAGE_FAULTS), begin, begin + length))
    return tuple(episodes)
