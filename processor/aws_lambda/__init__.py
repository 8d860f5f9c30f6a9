"""The same decisions as two Lambda functions, for deployments without containers.

See docs/contract.md, section 8. AWS polls the queue and the table's stream, and calls `transitions.handler`
and `audit.handler`. Rules, writers, sinks and dead letters are those of `run`; only receiving, deleting and
checkpoints are left to AWS. Start at `transitions.py`; `runtime.py` holds what both functions share.
"""
