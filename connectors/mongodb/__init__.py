"""MongoDB as a source: scans, change streams, and how documents and their keys become rows."""
