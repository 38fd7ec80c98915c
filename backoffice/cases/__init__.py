"""Which case comes next, who has it, and what a decision about it means."""
