from django.urls import path

from ai import pages, series_pages

urlpatterns = [
    path("", pages.index, name="index"),
    path("patients/<str:patient_id>/", pages.patient, name="patient"),
    path("patients/<str:patient_id>/biomarkers/", pages.add_order, name="add-order"),
    path("patients/<str:patient_id>/inferences/", pages.start, name="start"),
    path("inferences/<ai_req_id:number>/", pages.inference, name="inference"),
    path("inferences/<ai_req_id:number>/slices/", pages.slices, name="slices"),
    path("inferences/<ai_req_id:number>/slices/<str:view>/<str:layer>/<int:index>.png", pages.slice_picture),
    path("files/<int:number>/", pages.file, name="file"),
    path("mri/", series_pages.requests_page, name="mri"),
    path("mri/requests.json", series_pages.requests_json, name="mri-requests"),
    path("mri/series/<str:series_id>/segment/", series_pages.segment, name="segment"),
    path("mri/series/<str:series_id>/", series_pages.series, name="series"),
    path("mri/series/<str:series_id>/slices/", series_pages.slices, name="series-slices"),
    path("mri/series/<str:series_id>/slices/<str:view>/<str:layer>/<int:index>.png", series_pages.slice_picture),
]
