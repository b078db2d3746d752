"""What the bench indexes is a history that the index takes, and what its raw application answers is what the service would."""

from __future__ import annotations

from pathlib import Path

from bench import history, stored
from bench.replay import replaying
from bench.serving import entry_text
from steelyard.api.reply import write
from steelyard.indexer.database import open_database
from steelyard.query import events

ROOT = Path(__file__).resolve().parents[3]


def test_a_synthetic_history_is_indexed_and_shown(tmp_path: Path) -> None:
    chain, where = tmp_path / "chain", tmp_path / "index.sqlite"
    history.generate(chain, entries=600)
    with replaying(ROOT, chain) as replay:
        stored.catch_up(replay.url, str(where))
    database = open_database(where, readonly=True)
    with database.read() as reader:
        assert reader.rows("SELECT count(*) FROM events") == [(600,)]
        assert reader.rows("SELECT max(proved) FROM blocks") == [(1,)]
        for row in reader.rows(f"SELECT {events.COLUMNS} FROM events e ORDER BY e.pos"):
            assert entry_text(row).encode() == write(events.to_event(row))
    database.close()
