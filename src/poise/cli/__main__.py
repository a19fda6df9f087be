"""`python -m poise.cli` is `poise`."""

from poise.cli import main

main()
