"""The coordinator's side: who takes part, rounds, collecting, the next global model. Must not know a participant's side."""
