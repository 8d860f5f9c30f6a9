"""Order on FIFO queues: which messages of a batch may be handled together, and which have to wait."""

from collections.abc import Iterable, Mapping

from processor.transitions.messages import Message
from processor.transitions.settlement import SettlementPlan


def waves(messages: Iterable[Message], export_of: Mapping[str, str]) -> list[list[Message]]:
    """Cuts a batch, so that in each group an export's events wait for the messages before them.

    Within a wave a group has events of one export only, in a row; they are folded.

    Args:
        messages: in the order received.
        export_of: the requestId by message id; none for a body that holds no event.
    """
    cut: list[list[Message]] = []
    last: dict[str | None, tuple[int, str | None]] = {}
    for message in messages:
        export = export_of.get(message.message_id)
        number, before = last.get(message.group_id, (-1, None))
        if number < 0 or export is None or export != before:
            number += 1
        last[message.group_id] = (number, export)
        if number == len(cut):
            cut.append([])
        cut[number].append(message)
    return cut


def keep_order(arrived: Iterable[Message], plan: SettlementPlan) -> None:
    """Backs off each message that came after one that stays, in its group.

    Args:
        arrived: the messages of one wave in the order received.
        plan: what is to happen to them; corrected in place.
    """
    staying = {message.message_id for message in (*plan.back_off, *plan.release)}
    groups: set[str | None] = set()
    for message in arrived:
        if message.message_id in staying:
            groups.add(message.group_id)
        elif message.group_id in groups:
            plan.delete.remove(message)
            plan.back_off.append(message)
