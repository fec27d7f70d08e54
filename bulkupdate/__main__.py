"""`python -m bulkupdate`."""

from bulkupdate.cli import main

main()
