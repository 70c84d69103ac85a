import subprocess
import sys
from pathlib import Path

import pytest
import tomli

from ferrite.io.config import ConfigError, Override, load_config, render_file, render_key_tables
from ferrite.io.config.render import DOC_BEGIN, DOC_END
from ferrite.io.config.table import KEYS
from tests.io.config.helpers import load

ROOT = Path(__file__).parents[3]
DOC = ROOT / "docs/configuration.md"


def test_a_generated_file_loads_again_and_changes_nothing(tmp_path: Path) -> None:
    assert load(tmp_path, render_file()) == load(tmp_path, "")
    assert not load(tmp_path, render_file()).changed


def test_a_generated_file_names_every_supported_key_with_its_meaning() -> None:
    text = render_file()
    words = " ".join(text.replace("\n# ", " ").split())
    for key in KEYS:
        if key.supported:
            assert f"{key.name} =" in text or f"# {key.name}: " in text
            assert key.doc in words
        else:
            assert f"{key.name} =" not in text.split(f"[{key.section}]")[-1].split("\n[")[0]


def test_a_generated_file_has_only_short_lines() -> None:
    assert max(map(len, render_file().splitlines())) <= 120


def test_a_generated_file_has_the_values_that_were_asked_for(tmp_path: Path) -> None:
    overrides = [
        Override(key=key, text=text, option="--set")
        for key, text in (
            ("node.id", "2"),
            ("node.description", 'say "hi" \\ ünï'),
            ("node.advertise_http_addr", "127.0.0.1:8888"),
            ("storage.sync_writes", "false"),
            ("cluster.peers.2.grpc_addr", "127.0.0.1:9001"),
            ("cluster.peers.2.http_addr", "127.0.0.1:8888"),
        )
    ]
    text = render_file(overrides)
    assert tomli.loads(text)["node"]["description"] == 'say "hi" \\ ünï'
    assert load(tmp_path, text) == load_config(None, overrides=overrides, working_dir=tmp_path)


def test_wrong_values_are_not_written() -> None:
    with pytest.raises(ConfigError):
        render_file([Override(key="node.id", text="0", option="--id")])


def test_the_documentation_has_the_table_of_keys() -> None:
    _, _, rest = DOC.read_text().partition(DOC_BEGIN)
    table, _, _ = rest.partition(DOC_END)
    assert table == render_key_tables(), "run: python -m ferrite.io.config docs/configuration.md"


def test_running_the_module_rewrites_the_table_of_keys(tmp_path: Path) -> None:
    doc = tmp_path / "doc.md"
    doc.write_text(f"before\n{DOC_BEGIN}old\n{DOC_END}after\n")
    subprocess.run([sys.executable, "-m", "ferrite.io.config", str(doc)], check=True, cwd=ROOT)
    assert doc.read_text() == f"before\n{DOC_BEGIN}{render_key_tables()}{DOC_END}after\n"


def test_a_document_without_the_marks_is_left_alone(tmp_path: Path) -> None:
    doc = tmp_path / "doc.md"
    doc.write_text("text")
    command = [sys.executable, "-m", "ferrite.io.config", str(doc)]
    result = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 1
    assert "lacks the line" in result.stderr
    assert doc.read_text() == "text"


def test_the_documented_error_report_is_the_real_one(tmp_path: Path) -> None:
    _, _, rest = DOC.read_text().partition("<!-- example of errors -->\n```toml\n")
    text, _, rest = rest.partition("```\n")
    _, _, rest = rest.partition("```console\n$ ferrite-server --validate-config\n")
    shown, _, _ = rest.partition("```\n")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert shown == f"ferrite-server: {caught.value}\n"
