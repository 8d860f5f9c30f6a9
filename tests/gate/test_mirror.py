"""The tests of a module are found by its name: `processor/streams/lag.py` in `tests/streams/test_lag.py`."""

from collections import Counter
from pathlib import Path

from tests.docs.markdown import ROOT

TESTED_ELSEWHERE = {
    # Definitions without behaviour, tested through the code that uses them.
    "handlers/audit.py": "handlers/test_expiry.py",
    "processor/audit/sinks/base.py": "audit/test_delivery.py",
    "processor/cli/check/finding.py": "cli/check/test_queues.py",
    "processor/streams/clocks.py": "streams/leases/test_held.py",
    "processor/streams/context.py": "streams/test_shard_reader.py",
    "processor/streams/record_processor.py": "audit/test_removals.py",
    "processor/transitions/results.py": "transitions/test_settlement.py",
    "processor/transitions/context.py": "transitions/test_receiver.py",
    # Parts of one command: its test runs the command, as a user does.
    "processor/cli/audit/output.py": "cli/audit/test_command.py",
    "processor/cli/check/deployed_state.py": "cli/check/test_queues.py",
    "processor/cli/demo/display.py": "cli/demo/test_command.py",
    "processor/cli/dlq/dead_letter.py": "cli/dlq/test_command.py",
    "processor/cli/errors.py": "cli/test_app.py",
    "processor/cli/exports.py": "cli/test_list.py",
    "processor/cli/output.py": "cli/test_app.py",
    "processor/cli/run.py": "processor/test_service.py",
    "processor/cli/sending.py": "cli/test_publish.py",
    "processor/cli/session.py": "cli/test_app.py",
    "processor/cli/signals.py": "cli/test_app.py",
    "processor/cli/why/lookup.py": "cli/why/test_command.py",
    "processor/demo/board.py": "demo/test_demonstration.py",
    "processor/demo/expectations.py": "demo/test_scenario.py",
    "processor/demo/observer.py": "demo/test_verdict.py",
    "processor/demo/producer.py": "cli/demo/test_command.py",
    "processor/demo/service_process.py": "demo/test_demonstration.py",
    # Parts of the embedded AWS: its tests start it.
    "processor/localaws/clients.py": "localaws/test_embedded_aws.py",
    "processor/localaws/deployment.py": "localaws/test_embedded_aws.py",
    "processor/localaws/http.py": "localaws/test_moto_patches.py",
    "processor/localaws/reaper.py": "localaws/test_moto_patches.py",
    "processor/localaws/server.py": "localaws/test_embedded_aws.py",
    # Parts of the stream consumer: they are tested together, on the simulated stream.
    "processor/loops.py": "streams/test_consumer.py",
    "processor/streams/api.py": "conformance/test_streams.py",
    "processor/streams/cursor.py": "streams/test_shard_reader.py",
    "processor/streams/progress.py": "streams/test_gaps.py",
    "processor/streams/shard_end.py": "streams/test_shard_reader.py",
    "processor/streams/shards.py": "streams/test_lineage.py",
    # Parts of the transitions' loop.
    "processor/transitions/handling.py": "transitions/test_receiver.py",
    "processor/transitions/look_up.py": "transitions/test_applier.py",
}
"""A module without a test module of its name, and the one that tests it."""


def test_each_module_has_a_test_module_of_its_name() -> None:
    modules = [path for folder in ("handlers", "processor") for path in (ROOT / folder).rglob("*.py")]
    names = [path.relative_to(ROOT) for path in modules if not path.name.startswith("__")]
    assert len(names) > 100
    lacking = {str(name): place(name) for name in names if not (ROOT / "tests" / place(name)).exists()}
    unknown = {module: test for module, test in lacking.items() if module not in TESTED_ELSEWHERE}
    assert not unknown, "a module has neither a test module of its name nor a line in TESTED_ELSEWHERE"
    assert TESTED_ELSEWHERE.keys() <= lacking.keys(), "a line in TESTED_ELSEWHERE is not needed any more"


def test_each_exception_leads_from_a_module_to_a_test_module() -> None:
    for module, test in TESTED_ELSEWHERE.items():
        assert (ROOT / module).exists(), module
        assert (ROOT / "tests" / test).exists(), test


def test_no_folder_of_the_product_holds_more_modules_than_a_reader_keeps_in_mind() -> None:
    folders = Counter(path.parent for path in (ROOT / "processor").rglob("*.py") if path.stem != "__init__")
    assert max(folders.values()) <= 20
    assert folders[ROOT / "processor"] <= 8


def place(module: Path) -> str:
    """Where the tests of a module belong, below `tests/`."""
    parts = module.parts[1:] if module.parts[0] == "processor" and len(module.parts) > 2 else module.parts
    return str(Path(*parts[:-1], f"test_{parts[-1]}"))
