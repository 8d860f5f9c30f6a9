"""What operators see of the running service: log lines, metrics and health.

- `log`: whole lines to standard output, with every URL masked; `docs/logs.md` lists their events.
- `metrics`: every metric, written as CloudWatch's embedded metric format; `docs/metrics.md` lists them.
- `health`: heartbeats of all loops in a file that `healthcheck` reads.
"""
