"""An AWS for one machine: moto's server on loopback with the project's resources and a TTL that deletes.

For the commands `demo` and `local` and for the tests; it needs the extra `demo` and is not in the image.
`embedded_aws` starts the server process, `server` is that process. In it, `turns` lets one request in at
a time, `reaper` is DynamoDB's TTL, `moto_patches` the few places where moto is unlike AWS.
"""
