"""Records of trials: their fields, the journal, and MLflow."""
