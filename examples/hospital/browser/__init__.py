"""Tests in a real browser, which BROWSER names; they need the package playwright: `python manage.py test browser`."""
