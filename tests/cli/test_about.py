"""What the program says of itself: its version, the facts for a bug report, and the completion for a shell."""

from __future__ import annotations

import shutil
import subprocess

import pytest
import torch

import holdfast
from holdfast.cli.commands import COMMANDS
from holdfast.cli.main import main


def test_the_version_is_one_line_and_more_with_v(capsys, monkeypatch):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"holdfast {holdfast.__version__}\n"
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert main(["--version", "-v"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"holdfast {holdfast.__version__}"
    assert f"torch {torch.__version__}" in lines
    assert "HF_HUB_OFFLINE=1" in lines
    assert any(line.startswith("python: 3.") for line in lines)
    assert any(line.startswith("accelerators: ") for line in lines)


def test_v_alone_says_what_it_is_for(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["-v"])
    assert ended.value.code == 1
    assert "holdfast --version -v" in capsys.readouterr().err


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_the_completion_has_every_command_and_is_read_by_the_shell(shell, capsys, tmp_path):
    assert main(["--completion", shell]) == 0
    text = capsys.readouterr().out
    assert all(command.name in text for command in COMMANDS)
    assert "--html" in text or "html" in text
    if shell != "tcsh" and (program := shutil.which(shell)):
        (tmp_path / "completion").write_text(text)
        done = subprocess.run(
            [program, "-n", str(tmp_path / "completion")], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
