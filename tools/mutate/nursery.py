"""Runs brownie's tests again and again without loading brownie again: a process that has it all forks one for each run.

Started by ``brownie_suite.py``, with the Python of brownie's environment, in a copy. Each line on standard input is a JSON list of
arguments for pytest; the answer is one line, the run's exit code, once its output stands in the file given on the command line.
"""

from __future__ import annotations

import atexit
import json
import os
import sys


def child(arguments: list[str], output: str) -> None:
    """Run pytest with everything it prints in a file; does not return."""
    code = 70
    try:
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for descriptor, goal in ((nothing, 0), (file, 1), (file, 2)):
            os.dup2(descriptor, goal)
        import pytest

        code = int(pytest.main(arguments))
    finally:
        # brownie stops its chain at exit.
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main(output: str) -> None:
    """Answer until standard input ends."""
    # What takes seconds to load: hypothesis and web3 come with it.
    import brownie.test.plugin  # noqa: F401

    for line in sys.stdin:
        process = os.fork()
        if process == 0:
            child(json.loads(line), output)
        _, status = os.waitpid(process, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
