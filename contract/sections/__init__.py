"""Sections of the settings that more than one part of them uses."""
