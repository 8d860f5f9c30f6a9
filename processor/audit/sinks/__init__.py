"""The places that audit entries go to.

`base` has the protocol: a sink begins a `Put`, and the put continues until each entry is durable or refused.
`log` and `kinesis` are the sinks; `processor.audit.pipeline.make_sink` makes them by their names in
`EXPORT_AUDIT_SINKS`. A new sink needs a module here, a name in `processor.settings.SINK_NAMES` and a line
in that function.
"""
