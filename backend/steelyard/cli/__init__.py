"""The command line. docs/cli.md lists every command, setting and exit code."""
