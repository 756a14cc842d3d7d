"""What photos of a person say about the person: what predictors read, and how far a genome can be found by it."""
