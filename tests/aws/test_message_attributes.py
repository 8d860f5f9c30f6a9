"""Message attributes as JSON, and SQS's rules for them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.aws.message_attributes import attributes_from_json, attributes_to_json

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn")), min_size=1)
NAME = st.from_regex(r"\A[A-Za-z0-9_-]{1,256}\Z").filter(lambda name: not name.lower().startswith("aws."))
STRING = st.builds(lambda text: {"DataType": "String.x", "StringValue": text}, TEXT)
BINARY = st.builds(lambda data: {"DataType": "Binary", "BinaryValue": data}, st.binary(min_size=1))


@given(st.dictionaries(NAME, STRING | BINARY, max_size=10))
def test_what_is_written_is_read_as_it_was(attributes: dict[str, dict[str, object]]) -> None:
    assert attributes_from_json(attributes_to_json(attributes)) == attributes


def test_members_that_sqs_does_not_fill_are_left_out() -> None:
    received = {"a": {"DataType": "String", "StringValue": "x", "StringListValues": []}}
    assert attributes_to_json(received) == {"a": {"DataType": "String", "StringValue": "x"}}


@pytest.mark.parametrize("name", ["", ".a", "a.", "a..b", "aws.a", "AMAZON.a", "a b", "é", "x" * 257])
def test_a_name_that_sqs_refuses_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="an attribute's name must have"):
        attributes_from_json({name: "x"})


@pytest.mark.parametrize("value", [7, None, [], {}, {"DataType": "String", "StringValue": "x", "more": 1}])
def test_a_value_of_another_form_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="an attribute"):
        attributes_from_json({"a": value})
