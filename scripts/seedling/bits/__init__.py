"""The seedling whose pictures are bits: a Bernoulli autoencoder and a Bernoulli diffusion model (docs/bits.md)."""
