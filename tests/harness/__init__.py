"""What tests share: services as real processes, databases of their own, and the road with everything on it."""
