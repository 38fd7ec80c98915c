"""Labelled transactions: the store that topics fill, label rules, pools, outcomes."""
