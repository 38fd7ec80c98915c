"""The state in Redis: windows, first sights, cases, lists, outcomes. Knows no model and no rule's meaning."""
