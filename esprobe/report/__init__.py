"""Tables, figures and documents from results. Computes nothing and does not know the store."""
