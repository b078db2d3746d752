"""Two processes keep one index; the one that leads is killed, and the other one goes on where it was."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from steelyard.indexer.database import Database, open_database
from steelyard.indexer.follow import cursor_of
from tests.e2e.kill.shop import opened
from tests.faults import kill_index

LONGEST = 60.0
"""Seconds after which nobody has taken over."""


@dataclass(kw_only=True)
class TakeOvers:
    """What was counted."""

    turns: int = 0
    seconds: list[float] = field(default_factory=list)
    """From each kill to the newest block in the index."""
    lost: list[str] = field(default_factory=list)

    def line(self) -> str:
        """Return it for people."""
        return (
            f"take-over: {self.turns} leaders killed; the other one had the newest block after {min(self.seconds):.1f} to "
            f"{max(self.seconds):.1f} s; lost {len(self.lost)}"
        )


@dataclass
class _Life:
    """A process that leads or waits, and the name under which it does."""

    zygote: subprocess.Popen[str]
    holder: str
    pid: int


class TakeOver:
    """A chain that goes on, an index, and two processes."""

    def __init__(self, made: kill_index.IndexCampaign, database: Database, stack: ExitStack) -> None:
        self.made = made
        self.database = database
        self.counted = TakeOvers()
        self.lives = [
            self._begin(stack.enter_context(kill_index.zygote(made.given())), f"{number}.0")
            for number in range(2)
        ]

    def turn(self, number: int) -> None:
        """Kill who leads in the middle of its work, and wait for the other one."""
        self.made.news()
        time.sleep(self.made.chance.uniform(0, 0.2))
        victim = self._leader()
        other = next(life for life in self.lives if life is not victim)
        os.kill(victim.pid, signal.SIGKILL)
        began = time.monotonic()
        assert kill_index.ended(victim.zygote) == signal.SIGKILL
        self.made.news()
        self.wait()
        self.counted.seconds.append(time.monotonic() - began)
        self.counted.turns += 1
        if self._leader() is not other:
            self.counted.lost.append("somebody leads who is dead")
        self.lives[self.lives.index(victim)] = self._begin(
            victim.zygote, f"{victim.holder.partition('.')[0]}.{number}"
        )

    def end(self) -> None:
        """Kill both."""
        for life in self.lives:
            os.kill(life.pid, signal.SIGKILL)
            kill_index.ended(life.zygote)
        with self.database.write() as writer:
            writer.execute("DELETE FROM lease")

    def _begin(self, zygote: subprocess.Popen[str], holder: str) -> _Life:
        return _Life(zygote, holder, kill_index.begin(zygote, what="lead", holder=holder))

    def _leader(self) -> _Life:
        end = time.monotonic() + LONGEST
        while time.monotonic() < end:
            with self.database.read() as reader:
                row = reader.row("SELECT holder FROM lease")
            for life in self.lives:
                if row == (life.holder,):
                    return life
            time.sleep(0.02)
        raise AssertionError("nobody leads")

    def wait(self) -> None:
        """Wait until the newest block is in the index."""
        wanted = self.made.shop.rpc.get_block("latest").hash
        end = time.monotonic() + LONGEST
        while time.monotonic() < end:
            with self.database.read() as reader:
                cursor = cursor_of(reader)
            if cursor is not None and cursor.hash == wanted:
                return
            time.sleep(0.02)
        raise AssertionError(f"nobody took over within {LONGEST} s")


def take_over_campaign(folder: Path, *, turns: int, seed: int, place: str | None) -> TakeOvers:
    """Kill who leads, so many times; in PostgreSQL if a database is given."""
    with opened(folder) as shop:
        made = kill_index.IndexCampaign(shop, seed=seed, place=place)
        made.news()
        database = open_database(made.place)
        try:
            with ExitStack() as stack:
                campaign = TakeOver(made, database, stack)
                campaign.wait()
                for number in range(1, turns + 1):
                    campaign.turn(number)
                    made.look()
                campaign.end()
        finally:
            database.close()
        made.finish()
        campaign.counted.lost += made.counted.lost
        return campaign.counted
