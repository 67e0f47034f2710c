"""The playground at `/`: GraphiQL with each role's first questions, built once and served as plain files."""
