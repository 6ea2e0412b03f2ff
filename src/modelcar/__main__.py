"""`python -m modelcar`."""

from modelcar.cli import main

main()
