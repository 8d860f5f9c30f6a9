"""An export as the commands show it: as a reader must see it, and never its signed URL."""

from datetime import datetime

from handlers.export import Export, Item, is_dead, stored_ttl
from handlers.timestamps import format_timestamp
from processor.cli.output import masked


def living(item: Item, now: datetime) -> Export | None:
    """The export that a reader may see; None for a dead item.

    Raises:
        MalformedItem: if the item breaks docs/contract.md, section 1.
    """
    ttl = stored_ttl(item)
    if ttl is not None and is_dead(ttl, now):
        return None
    return Export.from_item(item)


def attributes(export: Export) -> dict[str, object]:
    """The table's attributes without the signed URL; other URLs lose their secrets."""
    fields = {
        "requestId": export.request_id,
        "status": export.status.value,
        "createdAt": format_timestamp(export.created_at),
        "updatedAt": format_timestamp(export.updated_at),
        "ttl": export.ttl,
        "fileName": export.file_name,
        "error": export.error,
    }
    return {name: masked(value) for name, value in fields.items() if value is not None}
