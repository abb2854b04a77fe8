from django.conf import settings
from django.urls import include, path, re_path, register_converter
from django.views.static import serve

from ai.converters import AiReqId

register_converter(AiReqId, "ai_req_id")

urlpatterns = [
    path("api/ai/", include("ai.api_urls")),
    path("", include("ai.page_urls")),
    # In production a web server serves these; here they work without one, and without a network.
    re_path(r"^static/(?P<path>.+)$", serve, {"document_root": settings.STATIC_ROOT}),
]
