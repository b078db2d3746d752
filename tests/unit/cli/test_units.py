import pytest

from steelyard.cli.units import count, format_duration, format_size, format_time, parse_duration
from steelyard.errors import InputError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("90", 90), ("90s", 90), ("15m", 900), ("12h", 43_200), ("30d", 2_592_000), ("2w", 1_209_600)],
)
def test_durations(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "d", "-1d", "1.5h", "1d2h", "1 d", "1D", "٣d", "9" * 13])
def test_malformed_durations(text: str) -> None:
    with pytest.raises(InputError):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (59, "59s"), (86_400, "1d"), (93_784, "1d 2h"), (3_601, "1h 1s")]
)
def test_durations_for_people(seconds: int, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("time", "text"),
    [(0, "-"), (1_700_000_000, "2023-11-14 22:13:20Z"), (2**40, str(2**40)), (2**63, str(2**63))],
)
def test_times(time: int, text: str) -> None:
    assert format_time(time) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (300_009, "292.9 KiB"),
        (1 << 20, "1.0 MiB"),
        (1 << 52, "4096.0 TiB"),
    ],
)
def test_sizes(size: int, text: str) -> None:
    assert format_size(size) == text


def test_counts() -> None:
    assert [count(number, "file") for number in (0, 1, 2)] == ["0 files", "1 file", "2 files"]
