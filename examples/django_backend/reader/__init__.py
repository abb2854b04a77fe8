"""A Django project whose backend reads sheets of handwritten digits. The app is `inferences`."""
