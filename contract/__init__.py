"""What every part of Tillguard must agree on: messages, features, topics, settings, errors, metrics, time and money.

Pure: no file, socket, process or thread is touched here, and no other part is imported.
"""
