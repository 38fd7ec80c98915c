"""From a score, rules and lists to a decision with reasons. Pure."""
