"""The acceptance scenarios, played by scripted clients against a running grid."""
