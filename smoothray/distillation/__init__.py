"""One trial: split, teach, distil, score; and the estimator over it."""
