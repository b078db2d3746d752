from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from steelyard.errors import DatabaseError
from steelyard.indexer import schema
from steelyard.indexer.database import Database, open_database, words_of
from steelyard.indexer.schema import amount_bytes, amount_of

CARD = ("state", "text", "title", "task", "framework", "licence", "tags", "metrics", "node", "tried_at")


def add_card(database: Database, folder: bytes, title: str, text: str = "") -> None:
    with database.write() as writer:
        writer.execute(
            "INSERT INTO cards (folder, state, title, text) VALUES (?, ?, ?, ?)", (folder, 1, title, text)
        )


def cards(database: Database, text: str) -> list[bytes]:
    with database.read() as reader:
        query, params = reader.matching_cards(words_of(text))
        return [row[0] for row in reader.rows(f"SELECT folder FROM ({query}) AS found ORDER BY rank", params)]


def add_block(database: Database, number: int, time: int = 0) -> None:
    with database.write() as writer:
        writer.insert("blocks", [(number, b"\x01" * 32, None, time, 0)])


def test_a_new_one_has_every_table_with_its_columns(database: Database) -> None:
    with database.read() as reader:
        for table in schema.COLUMNS:
            if table != "meta":
                assert reader.rows(f"SELECT {schema.column_list(table)} FROM {table}") == []


def test_what_was_written_is_read(database: Database) -> None:
    add_block(database, 7, 1000)
    with database.read() as reader:
        assert reader.row("SELECT hash, time, parent FROM blocks WHERE number = ?", (7,)) == (
            b"\x01" * 32,
            1000,
            None,
        )


def test_a_percent_sign_in_a_statement_is_one(database: Database) -> None:
    with database.read() as reader:
        assert reader.row("SELECT 7 % 4, 'a%'") == (3, "a%")


@pytest.mark.parametrize("amount", [0, 1, 1 << 63, (1 << 128) - 1, 1 << 128, (1 << 256) - 1])
def test_amounts_come_back_as_they_went(database: Database, amount: int) -> None:
    row = (1, 0, 0, None, None, None, b"p", b"q", bytes(20), amount_bytes(amount), 5)
    with database.write() as writer:
        writer.insert("payments", [row])
        (stored,) = writer.rows("SELECT amount FROM payments")[0]
    assert amount_of(stored) == amount


def test_amounts_compare_as_numbers(database: Database) -> None:
    amounts = [0, 1, 255, 256, 1 << 63, (1 << 128) - 1, 1 << 128, (1 << 128) + 1, (1 << 256) - 1]
    with database.write() as writer:
        writer.insert(
            "payments",
            [
                (n, 0, 0, None, None, None, b"p", b"q", bytes(20), amount_bytes(a), 5)
                for n, a in enumerate(amounts)
            ],
        )
        rows = writer.rows("SELECT amount FROM payments ORDER BY amount")
        least = writer.row("SELECT count(*) FROM payments WHERE amount >= ?", (amount_bytes(1 << 63),))
    assert [amount_of(row[0]) for row in rows] == amounts
    assert least == (5,)


def test_a_transaction_that_fails_leaves_nothing(database: Database) -> None:
    with pytest.raises(KeyError), database.write() as writer:
        writer.insert("blocks", [(1, b"", None, 0, 0)])
        raise KeyError
    with database.read() as reader:
        assert reader.rows("SELECT 1 FROM blocks") == []


def test_a_snapshot_does_not_see_what_is_written_later(databases: Callable[[], Database]) -> None:
    first, second = databases(), databases()
    with first.read() as reader:
        assert reader.row("SELECT count(*) FROM blocks") == (0,)
        add_block(second, 1)
        assert reader.row("SELECT count(*) FROM blocks") == (0,)
    with first.read() as reader:
        assert reader.row("SELECT count(*) FROM blocks") == (1,)


def test_readers_do_not_wait_for_the_writer(databases: Callable[[], Database]) -> None:
    first, second = databases(), databases()
    with first.write() as writer:
        writer.insert("blocks", [(1, b"", None, 0, 0)])
        with second.read() as reader:
            assert reader.row("SELECT count(*) FROM blocks") == (0,)


def test_many_threads_read_at_once(database: Database) -> None:
    add_block(database, 1)
    found: list[object] = []

    def look() -> None:
        for _ in range(20):
            with database.read() as reader:
                found.append(reader.row("SELECT number FROM blocks"))

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [(1,)] * 160


def test_rows_are_streamed(database: Database) -> None:
    with database.write() as writer:
        writer.insert("blocks", [(number, b"\x02", None, 0, 0) for number in range(2500)])
    with database.read() as reader:
        stream = reader.each("SELECT number, hash FROM blocks ORDER BY number")
        assert next(stream) == (0, b"\x02")
        assert [row[0] for row in stream] == list(range(1, 2500))


def test_a_word_finds_the_cards_that_have_it(database: Database) -> None:
    add_card(database, b"a", "Digits, small", "reads hand-written digits")
    add_card(database, b"b", "Speech", "hears")
    assert cards(database, "digits") == [b"a"]
    assert cards(database, "HAND written") == [b"a"]
    assert cards(database, "digits speech") == []


def test_a_word_in_the_title_weighs_more_than_one_in_the_text(database: Database) -> None:
    add_card(database, b"a", "Other", "a word about speech and then many more words of something else")
    add_card(database, b"b", "Speech", "hears")
    assert cards(database, "speech") == [b"b", b"a"]


def test_the_beginning_of_a_word_finds_it(database: Database) -> None:
    add_card(database, b"a", "resnet50")
    assert cards(database, "resnet") == [b"a"]


def test_a_changed_card_is_found_by_its_new_words_only(database: Database) -> None:
    add_card(database, b"a", "old")
    with database.write() as writer:
        writer.execute("UPDATE cards SET title = ? WHERE folder = ?", ("new", b"a"))
    assert cards(database, "old") == []
    assert cards(database, "new") == [b"a"]
    with database.write() as writer:
        writer.execute("DELETE FROM cards")
    assert cards(database, "new") == []


def test_names_are_found_by_their_parts(database: Database) -> None:
    asset = (b"a", "digits-v2.small", b"w", 0, b"c", b"o", 0, 0, 5, 1)
    with database.write() as writer:
        writer.insert("assets", [asset])
    with database.read() as reader:
        query, params = reader.matching_names(words_of("small digits"))
        assert reader.rows(f"SELECT asset FROM ({query}) AS found", params) == [(b"a",)]


def test_nothing_in_a_search_is_syntax(database: Database) -> None:
    add_card(database, b"a", "near or not")
    assert words_of('NEAR("a\' OR*:& !\\ -x") \x00 ﬁ') == ("near", "a", "or", "x", "ﬁ")
    assert cards(database, "near OR not") == [b"a"]


def test_clearing_leaves_empty_tables(database: Database) -> None:
    add_block(database, 1)
    add_card(database, b"a", "word")
    database.clear()
    with database.read() as reader:
        assert reader.rows("SELECT 1 FROM blocks") == []
    assert cards(database, "word") == []


def test_an_intact_one_passes_the_check(database: Database) -> None:
    add_block(database, 1)
    database.check()
    database.check(full=True)


def test_one_of_another_format_is_refused(database: Database, place: str | Path) -> None:
    with database.write() as writer:
        writer.execute("UPDATE meta SET value = '0' WHERE name = 'format'")
    with pytest.raises(DatabaseError, match="another version.*built again"):
        open_database(place)


def test_one_that_is_only_read_is_not_written(database: Database, place: str | Path) -> None:
    add_block(database, 1)
    reading = open_database(place, readonly=True)
    with reading.read() as reader:
        assert reader.row("SELECT number FROM blocks") == (1,)
    with pytest.raises(DatabaseError, match="only to read"), reading.write():
        pass
    reading.close()


def test_after_a_question_that_failed_it_goes_on(database: Database) -> None:
    for _ in range(40):
        with pytest.raises(ZeroDivisionError), database.read() as reader:
            reader.row("SELECT 1")
            raise ZeroDivisionError
    add_block(database, 1)
    with database.read() as reader:
        assert reader.row("SELECT number FROM blocks") == (1,)
