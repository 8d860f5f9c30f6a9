"""The processor: everything of the service that touches the world.

Two journeys, each a straight line:

1. Transitions (`transitions/`): receive events from SQS, decode, fold, one conditional write for each
   export, then settle: delete, back off or dead-letter. A message that is not deleted comes back.
2. Audit (`streams/`, `audit/`): discover the shards of the table's stream, hold their leases, read records,
   turn removals into audit entries, put them into sinks, then checkpoint.

`handlers/` decides, in pure functions: which status may follow which, what a write's condition is, what an
entry holds. The processor calls it and never decides such things itself.

The layers, each of which imports only from those below it:

- `cli/`: the commands. `demo/`: everything at work on an embedded AWS (`localaws/`).
- `service`: composition, signals, and one budget for the stop. `aws_lambda/`: Lambda functions instead.
- `transitions/` and `audit/`: the two journeys. `streams/`: a leased consumer of DynamoDB Streams.
- `dead_letters`, `startup_checks`, `loops`: what both halves share.
- `aws/`: clients and calls, SQS's batches, and AWS's errors as ours.
- `observability/` (log, metrics, health), `backoff`, `settings`.

Start reading at `service.py`, then `transitions/receiver.py` and `streams/consumer.py`.
"""
