import stat
from pathlib import Path

import pytest

from steelyard.errors import InputError, RefusedError
from steelyard.service.files import private_folder, write_private, writing


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_private_files_and_folders(tmp_path: Path) -> None:
    folder = private_folder(tmp_path / "a" / "b")
    write_private(folder / "f", b"x")
    assert [mode(path) for path in (tmp_path / "a", folder, folder / "f")] == [0o700, 0o700, 0o600]
    with pytest.raises(RefusedError):
        write_private(folder / "f", b"y")
    write_private(folder / "f", b"z", replace=True)
    assert [path.name for path in folder.iterdir()] == ["f"]


def test_errors_of_the_file_system_say_where(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot write .*nowhere: No such file"), writing(tmp_path):
        (tmp_path / "nowhere").read_bytes()
    with pytest.raises(InputError, match="there: No space left"), writing(Path("there")):
        raise OSError(28, "No space left on device")
    with pytest.raises(BrokenPipeError), writing(tmp_path):
        raise BrokenPipeError(32, "Broken pipe")
