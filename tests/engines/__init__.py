"""Emulators that tests use next to the embedded AWS, each for what it alone does right.

`provision` installs them into `.cache/`; `dynamodb_local` and `ministack` start and stop them.
"""
