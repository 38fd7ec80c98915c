"""The backoffice as a process: its parts put together over all retailers of an installation."""
