"""What the federation asks of local learning, a numpy learner for simulations, and whether a global model is taken."""
