"""Results as tables and pages. Pure: gives what is printed."""
