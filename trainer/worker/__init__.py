"""The running trainer: intake, schedule, its training process, drift watch."""
