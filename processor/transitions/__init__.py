"""SQS to the status table: receive events, fold them, write each export once, settle the messages.

Start with `pipeline`: `Transitions` puts the parts together, for the service and for simulated worlds alike.

- `receiver` takes the steps of one thread: a receive, a part of a batch, its settlement. `intake` decides how
  many receivers poll and how long one pauses so that events gather.
- `handling` decodes a batch and passes it on; `fifo` keeps the order of FIFO queues.
- `applier` folds events by export and judges them by the write's answer. `writers` and `write_modes` write
  changes, singly or 25 a call; `status_table` makes the calls; `look_up` asks once a batch what the writes
  could not tell; `refusals` tells an item's fault from an index's.
- `settlement` deletes, backs off, releases and dead-letters, after the effect is durable. `event_queue` makes
  its calls; `outcome_log` writes the lines.
- `circuit_breaker` pauses polling while the table is down.
- `messages` and `results` are what is passed on; `context` is what the parts share: clocks, chance, pauses.
"""
