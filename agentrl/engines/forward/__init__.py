"""A model's pass over the cache: written out for small families, else by the model's own modules."""
