"""Each name in `EXPORT_AUDIT_SINKS` has its sink."""

import pytest

from processor.audit.sinks.factory import make_sink
from processor.aws.clients import Aws
from processor.settings import SINK_NAMES, AwsSettings, Settings


def test_every_sink_that_settings_allow_is_made_and_no_other() -> None:
    settings = Settings(KINESIS_EXPORT_AUDIT_STREAM="export-audit")
    aws = Aws(AwsSettings(region="us-east-1"))
    made = [make_sink(name, settings, aws).name for name in SINK_NAMES]
    assert made == list(SINK_NAMES)
    with pytest.raises(ValueError, match="no audit sink is called 'file'"):
        make_sink("file", settings, aws)
