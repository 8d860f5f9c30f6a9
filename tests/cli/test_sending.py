"""The entries of SendMessageBatch that the operator's commands make."""

from processor.cli.sending import Outgoing, batches


def test_an_entry_has_only_what_is_set() -> None:
    assert Outgoing("b").entry() == {"MessageBody": "b"}
    attributes = {"a": {"DataType": "String", "StringValue": "x"}}
    header = "Root=1-5759e988-bd862e3fe1be46a994272793"
    assert Outgoing("b", "g", "d", attributes, header).entry() == {
        "MessageBody": "b",
        "MessageGroupId": "g",
        "MessageDeduplicationId": "d",
        "MessageAttributes": attributes,
        "MessageSystemAttributes": {"AWSTraceHeader": {"DataType": "String", "StringValue": header}},
    }


def test_attributes_count_towards_the_bytes_of_a_batch() -> None:
    big = Outgoing("b", attributes={"a": {"DataType": "String", "StringValue": "x" * 200_000}})
    assert [len(batch) for batch in batches([big, big])] == [1, 1]
