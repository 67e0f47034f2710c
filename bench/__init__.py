"""How fast it is: each figure beside its limit or rival of the same run, on a grid of the bench's own."""
