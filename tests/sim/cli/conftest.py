from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def work_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Failures leave their folders in the current directory, which no test may litter."""
    folder = tmp_path_factory.mktemp("work")
    monkeypatch.chdir(folder)
    return folder
