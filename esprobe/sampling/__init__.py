"""The sampling loop: from missing rollouts through engine and scorer into the store."""
