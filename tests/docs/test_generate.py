"""The generated pages are current, and `--check` finds one that is not."""

from pathlib import Path

import pytest

from processor.settings import Settings
from tests.docs import generate
from tests.docs.markdown import codes, read, table

CREDENTIALS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"}


def test_the_pages_are_up_to_date() -> None:
    assert generate.main(["--check"]) == 0, "run python -m tests.docs.generate"


def test_a_stale_page_is_found_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "settings.md").write_text("old")
    assert generate.main(["--check"]) == 1
    assert "docs/settings.md is not what the code makes" in capsys.readouterr().err
    assert generate.main([]) == 0
    assert generate.main(["--check"]) == 0
    assert (tmp_path / "docs" / "settings.md").read_text() == generate.settings_page()


def test_every_setting_has_a_description_and_stands_on_the_page() -> None:
    rows = {codes(row[0])[0]: row for row in table(read("docs/settings.md"), "| variable |")}
    assert rows.keys() == {str(info.validation_alias) for info in Settings.model_fields.values()}
    assert all(row[3] for row in rows.values())
    assert rows["EXPORT_DRAIN_SECONDS"][1:3] == ["`25`", "10 to 3600"]
    assert rows["LOG_FORMAT"][1:3] == ["none", "`json`, `console`"]
    assert all(f"`{name}`" in read("docs/settings.md") for name in CREDENTIALS)
