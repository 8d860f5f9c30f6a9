"""The command `check`: compares what is deployed with what the service needs.

- `deployed_state` asks AWS; nothing else here does, but for `permissions`.
- `judgement` combines the findings of `tables`, `queues` and `permissions`, which are pure.
- `finding` is one line of the result, `target` builds the commands of its remedies.
- `command` prints the findings.
"""
