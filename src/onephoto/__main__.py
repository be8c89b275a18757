"""`python -m onephoto` is the command line."""

from onephoto.cli import main

main()
