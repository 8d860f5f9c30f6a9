"""AWS as the service sees it: the only wing, with `localaws/`, that imports boto3 and botocore.

- `clients`: boto3 clients with timeouts, retries and connection pools for their use.
- `calls`: one call; every exception of botocore becomes one of ours.
- `errors`: those errors, named for what follows: `Transient`, `Rejected`, `Misconfigured` and their kin.
- `sqs`: quotas, batch calls read entry by entry, the redrive policy.
- `fast_calls`: a shorter way for the calls of the daily work, on `http_connections` and `signature`.
- `fast_choice`: whether the calls use it.
- `stream_records`: GetRecords read as DynamoDB's own JSON.

Start with `errors`: the rest of the service knows AWS by them.
"""
