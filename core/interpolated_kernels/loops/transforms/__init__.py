"""Fourier transforms of as many images at once as a vector has lanes, one image a lane."""
