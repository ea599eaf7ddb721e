"""Small changes made by machine to the pure rooms, and whether the nearest tests see them."""
