"""Games of a generator and a discriminator."""
