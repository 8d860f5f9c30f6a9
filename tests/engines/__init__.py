"""Emulators that tests run against beside the embedded AWS, each with what it alone does right.

`provision` installs them into `.cache/`; `dynamodb_local` and `ministack` start and stop them.
"""
