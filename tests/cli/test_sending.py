"""The entries of SendMessageBatch that the operator's commands make."""

from processor.cli.sending import Outgoing


def test_an_entry_has_only_what_is_set() -> None:
    assert Outgoing("b").entry() == {"MessageBody": "b"}
    attributes = {"a": {"DataType": "String", "StringValue": "x"}}
    header = "Root=1-5759e988-bd862e3fe1be46a994272793"
    assert Outgoing("b", attributes, "g", header, "d").entry() == {
        "MessageBody": "b",
        "MessageGroupId": "g",
        "MessageDeduplicationId": "d",
        "MessageAttributes": attributes,
        "MessageSystemAttributes": {"AWSTraceHeader": {"DataType": "String", "StringValue": header}},
    }
