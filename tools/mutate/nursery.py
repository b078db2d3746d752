"""Runs brownie's tests again and again without loading brownie again: a process that has it all forks one for each run.

Started by ``brownie_suite.py``, with the Python of brownie's environment, in a copy. Each line on standard input is a JSON object:
``arguments`` for pytest, and ``first``, names of tests to run before all others. The answer is one line, the run's exit code, once
its output stands in the file given on the command line.
"""

from __future__ import annotations

import atexit
import gc
import inspect
import json
import os
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Any


class Order:
    """A plugin of pytest that brings some tests to the front."""

    def __init__(self, first: Sequence[str]) -> None:
        """Take the ends of their names, without parameters: ``test_buy.py::test_supply``."""
        self._first = first

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Sort them."""
        rank = {name: i for i, name in enumerate(self._first)}
        # The last part of the path and what follows it.
        items.sort(key=lambda item: rank.get(item.nodeid.split("[")[0].rpartition("/")[2], len(rank)))


def load() -> None:
    """Load and do once, for all runs, what takes each of them seconds."""
    # brownie's plugin, with web3 and hypothesis, and the others that pytest would look for.
    for plugin in entry_points(group="pytest11"):
        plugin.load()
    # brownie hashes all tests for `--update`, by parsing them.
    import brownie.test.managers.base as managers

    managers._get_ast_hash = lambda path: ""
    # brownie looks at its callers; this fills the memory of which module is in which file.
    inspect.stack()
    # The collections that pytest asks for pass over what is here already.
    gc.collect()
    gc.freeze()


def child(arguments: list[str], first: list[str], output: str) -> None:
    """Run pytest with everything it prints in a file; does not return."""
    code = 70
    try:
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for descriptor, goal in ((nothing, 0), (file, 1), (file, 2)):
            os.dup2(descriptor, goal)
        import pytest

        code = int(pytest.main(arguments, plugins=[Order(first)]))
    finally:
        # brownie stops its chain at exit.
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main(output: str) -> None:
    """Answer until standard input ends."""
    load()
    for line in sys.stdin:
        question = json.loads(line)
        process = os.fork()
        if process == 0:
            child(question["arguments"], question["first"], output)
        _, status = os.waitpid(process, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
