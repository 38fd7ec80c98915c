"""How the worker reads transactions from Kafka and gives answers back: two feeds behind one port.

A feed drives an engine it knows only as a `Scorer`. Nothing here imports Faust.
"""
