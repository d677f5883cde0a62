"""Tests, effect sizes and intervals: pure functions on arrays and tables, which know nothing of records."""
