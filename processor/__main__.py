"""`python -m processor` is `export-status`."""

from processor.cli.app import main

if __name__ == "__main__":
    main()
