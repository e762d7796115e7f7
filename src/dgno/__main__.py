"""`python -m dgno` is the command line."""

from dgno.cli.main import run

run()
