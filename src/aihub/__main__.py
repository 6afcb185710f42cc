"""`python -m aihub`."""

from aihub.cli.main import main

main()
