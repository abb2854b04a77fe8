"""Settings: the environment's, under the names of the old systems where they had one."""

from __future__ import annotations

import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
#: Folder of the database and of stored files. Default: this example's.
DATA_DIR = Path(os.environ.get("HOSPITAL_DATA_DIR", BASE_DIR))

SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY", "for development only")
DEBUG = os.environ.get("DJANGO_DEBUG", "") == "1"
ALLOWED_HOSTS = os.environ.get("DJANGO_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]").split(",")

INSTALLED_APPS = ["ai"]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "ai.middleware.only_own_resources",
]
ROOT_URLCONF = "hospital.urls"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DATA_DIR / "db.sqlite3",
        # Front end and callbacks write at once: take the write lock at the start of a transaction, and wait for it.
        "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE"},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"  # the old backend showed Seoul's time and its worker UTC
STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "ai" / "static"
MEDIA_ROOT = DATA_DIR / "media"
#: A callback carries its files as base64 in one body; Django's own limit is 2.5 MiB.
DATA_UPLOAD_MAX_MEMORY_SIZE = 512 * 1024 * 1024

#: Where sluice's gateway listens, in seconds how long to wait for it, and the token that it may ask for.
INFERENCE_URL = os.environ.get("INFERENCE_URL", "http://localhost:9000").rstrip("/")
INFERENCE_TOKEN = os.environ.get("INFERENCE_TOKEN", "")
INFERENCE_TIMEOUT_S = 10.0
#: Where sluice reports the end of a job.
CALLBACK_URL = os.environ.get("CALLBACK_URL", "http://localhost:8000/api/ai/callback/")
#: The secret that signs callbacks (whsec_…), the same as SLUICE_CALLBACK_SECRETS. Empty: callbacks are not verified.
CALLBACK_SECRET = os.environ.get("CALLBACK_SECRET", "")

#: Orthanc, for the pictures of system 2. Empty: its page shows states without pictures.
ORTHANC_URL = os.environ.get("ORTHANC_URL", "").rstrip("/")
ORTHANC_USER = os.environ.get("ORTHANC_USER", "")
ORTHANC_PASSWORD = os.environ.get("ORTHANC_PASSWORD", "")
