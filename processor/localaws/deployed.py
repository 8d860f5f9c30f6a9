"""What is deployed in the embedded AWS."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deployment:
    """Names and addresses of the deployed resources."""

    table: str
    leases_table: str
    queue_url: str
    dlq_url: str
    audit_stream: str
