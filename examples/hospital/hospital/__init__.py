"""A Django project: the backend of a hospital's brain tumour inference and of its MRI segmentation. The app is `ai`."""
