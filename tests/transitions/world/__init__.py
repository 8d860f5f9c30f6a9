"""The simulated world of the transitions half: SQS, DynamoDB and time in memory, driven by seeds.

The service's own intake, applier and settlement run in it, built by the service's composition function. Only
the queue, the table, the clock and the threads are simulated. `clock` is time; `queues` is SQS; `statements`
and `table` are DynamoDB; `faults` is what goes wrong; `traffic` is what producers send; `ledger` checks the
laws; `world` runs them together.
"""
