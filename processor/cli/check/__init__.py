"""The command `check`: compares what is deployed with what the service needs.

- `deployed_state` asks AWS; nothing else here does, but for `permissions`.
- `tables`, `queues` and `permissions` judge the answers.
- `finding` is one line of the result, `target` builds the commands of its remedies.
- `command` combines the findings and prints them.
"""
