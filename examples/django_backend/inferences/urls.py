from django.urls import path

from inferences import views

urlpatterns = [
    path("inferences/", views.create),
    path("inferences/ai_req_<int:number>/", views.show),
    path("callback/", views.callback),
]
