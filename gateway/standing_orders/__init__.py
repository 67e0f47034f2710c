"""What the grid does by itself: reads views, sends commands; knows no GraphQL."""
