"""From the transactions topic to a verdict within milliseconds: windows, features, model, rules, decision, reasons."""
