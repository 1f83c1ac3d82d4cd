"""The command line names its commands without importing what they need."""

import subprocess
import sys

import pytest

from bassbench.__main__ import COMMANDS, _command

HEAVY = ("torch", "librosa", "sklearn", "matplotlib", "pandas", "scipy", "numba")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, contextlib\nfrom bassbench.__main__ import main\n"
        "with contextlib.suppress(SystemExit): main(['--help'])\n"
        f"print('imported:', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "imported: []" in said
    assert all(name in said for name in COMMANDS)


def test_commands_that_need_no_network_import_none() -> None:
    """One process for all of them: what none of them imports, each of them does not."""
    commands = [["bank"], ["bank", "--help"], ["list", "--help"], ["list", "datasets"], ["transcribe", "--help"]]
    commands += [["data", *more, "--help"] for more in ([], ["check"], ["shard"], ["render"])]
    code = (
        "import sys, contextlib\nfrom bassbench.__main__ import main\n"
        f"for command in {commands!r}:\n"
        "    with contextlib.suppress(SystemExit): main(command)\n"
        "print('imported:', [name for name in ('torch', 'sklearn', 'matplotlib', 'numba') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.splitlines()[-1] == "imported: []"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_where_the_table_says(name: str) -> None:
    command = _command(COMMANDS[name][0])
    assert callable(command.run) and command.__doc__  # type: ignore[attr-defined]


def test_an_unknown_command_is_refused() -> None:
    from bassbench.__main__ import main

    with pytest.raises(SystemExit, match="2"):
        main(["scroe", "folder"])
