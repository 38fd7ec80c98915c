"""The pages that follow from the code: schemas, topics, settings, features, metrics and commands.

A page is never edited by hand; `tillguard docs --check` fails where one differs from the code.
"""
