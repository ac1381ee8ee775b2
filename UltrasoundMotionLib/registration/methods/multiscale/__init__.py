"""Multi-scale registration by networks optimised at test time (SSMSR)."""
