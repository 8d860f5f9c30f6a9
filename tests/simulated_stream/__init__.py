"""A DynamoDB stream in memory whose shards split, close, trim and fail as AWS's do; no emulator has that.

`model` is the stream, `client` its API in the process, `rows` a leases table, `server` both over HTTP.
"""
