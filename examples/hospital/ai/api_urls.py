from django.urls import path

from ai import api

urlpatterns = [
    path("inferences/", api.inferences),
    path("inferences/<ai_req_id:number>/", api.inference),
    path("callback/", api.callback),
]
