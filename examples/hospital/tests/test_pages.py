"""The pages, and what the backend asks the inference service."""

from __future__ import annotations

import json

from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command

from ai.models import BiomarkerOrder, Inference
from tests.kit import BackendTestCase, completed, inference_service, lesions, nifti, png


class PagesTest(BackendTestCase):
    def test_migrations_make_the_tables_of_the_models(self) -> None:
        call_command("makemigrations", check=True, dry_run=True, verbosity=0)

    def test_the_front_end_starts_an_inference_and_polls_it(self) -> None:
        answers = {"POST /api/ai/inferences/": (202, {"job_id": "j1", "status": "PENDING"})}
        with inference_service(answers) as seen:
            form = {"model": "M1", "patient_id": "P-0001", "file": SimpleUploadedFile("머리.nii", nifti(lesions()))}
            answer = self.client.post("/api/ai/inferences/", form)
            row = Inference.objects.get()
            answers[f"GET /api/ai/inferences/{row.ai_req_id}/"] = (200, {"status": "PROCESSING"})
            assert (answer.status_code, answer.json()["status"], answer.json()["id"]) == (202, "PENDING", row.ai_req_id)
            assert self.client.get(f"/api/ai/inferences/{row.ai_req_id}/").json()["status"] == "PROCESSING"
        assert row.job_id == "j1"
        for part in (b"P-0001", row.ai_req_id.encode(), b"/api/ai/callback/", nifti(lesions())):
            assert part in seen[0][1]

    def test_a_failure_whose_callback_was_lost_is_seen_by_a_poll(self) -> None:
        row = self.volume_inference()
        answer = {"status": "FAILED", "error": {"code": "TIMEOUT_ERROR", "message": "It took 600 s."}}
        with inference_service({f"GET /api/ai/inferences/{row.ai_req_id}/": (200, answer)}):
            polled = self.client.get(f"/api/ai/inferences/{row.ai_req_id}/").json()
        assert (polled["status"], polled["error"]["code"]) == ("FAILED", "TIMEOUT_ERROR")

    def test_without_the_inference_service_the_page_says_so_and_the_row_is_failed(self) -> None:
        form = {"model": "M1", "file": SimpleUploadedFile("scan.nii", nifti(lesions()))}
        answer = self.client.post("/patients/P-0001/inferences/", form)
        self.assertContains(answer, "does not answer", status_code=503)
        assert Inference.objects.get().error_code == "CONNECTION_ERROR"

    def test_pages_show_patients_states_pictures_and_the_viewer(self) -> None:
        row = self.volume_inference()
        self.assertContains(self.client.get("/"), f'data-poll="/api/ai/inferences/{row.ai_req_id}/"')
        self.call_back(completed(row.ai_req_id, {"mask.nii.gz": nifti(lesions()), "overlay.png": png()}))
        for address, text in (
            ("/", "김하늘"),
            ("/patients/P-0001/", row.ai_req_id),
            (f"/inferences/{row.ai_req_id}/", 'data-slices="'),
            (f"/inferences/{row.ai_req_id}/", "1,234.5"),
            (f"/inferences/{row.ai_req_id}/", '<time datetime="'),
        ):
            with self.subTest(address=address):
                answer = self.client.get(address)
                assert answer.status_code == 200
                assert answer["Content-Security-Policy"].startswith("default-src 'self'")
                self.assertContains(answer, text)

    def test_scripts_and_styles_are_served_without_a_web_server(self) -> None:
        for name in ("live.js", "viewer.js", "style.css"):
            answer = self.client.get(f"/static/ai/{name}")
            assert len(b"".join(answer.streaming_content)) > 500
            answer.close()

    def test_without_the_inference_service_the_page_of_segmentations_says_so(self) -> None:
        self.assertContains(self.client.get("/mri/"), "does not answer", status_code=502)

    def test_contributions_are_a_chart(self) -> None:
        row = Inference.objects.create(patient=self.patient, model="MM")
        result = {"risk": 0.81, "contributions": {"mri_volume": 1.5, "proteins": -0.5}, "missing": ["mg"]}
        self.call_back(completed(row.ai_req_id, {}, model="MM", result=result))
        page = self.client.get(f"/inferences/{row.ai_req_id}/")
        self.assertContains(page, '<rect class="above" x="100.0" y="2" width="100.0"')
        self.assertContains(page, '<rect class="below" x="66.7" y="2" width="33.3"')

    def test_probabilities_are_a_chart_of_classes(self) -> None:
        row = Inference.objects.create(patient=self.patient, model="MG")
        result = {"classes": ["luminal A", "basal-like"], "probabilities": [0.9, 0.1], "risk": 0.1}
        self.call_back(completed(row.ai_req_id, {}, model="MG", result=result))
        page = self.client.get(f"/inferences/{row.ai_req_id}/")
        self.assertContains(page, '<th scope="row">luminal A</th>')
        self.assertContains(page, 'width="200.0"')

    def test_mm_takes_what_sluice_lists_for_the_patient(self) -> None:
        order = {"upload_id": "up_7", "ocs_status": "CONFIRMED"}
        listed = {"m1": [{"ai_req_id": "ai_req_0001"}], "mg": [], "biomarkers": [order]}
        answers = {
            "GET /api/ai/patients/P-0001/mm-inputs/": (200, listed),
            "POST /api/ai/inferences/": (202, {"job_id": "j2", "status": "PENDING"}),
        }
        with inference_service(answers) as seen:
            page = self.client.get("/patients/P-0001/")
            self.assertContains(page, '<option value="ai_req_0001">')
            self.assertContains(page, '<option value="up_7">CONFIRMED')
            form = {"model": "MM", "m1_ai_req_id": "ai_req_0001", "mg_ai_req_id": "", "biomarker_upload_id": "up_7"}
            assert self.client.post("/patients/P-0001/inferences/", form).status_code == 302
        sent = json.loads(next(body for path, body in seen if path == "POST /api/ai/inferences/"))
        assert (sent["model"], sent["m1_ai_req_id"], sent["biomarker_upload_id"]) == ("MM", "ai_req_0001", "up_7")
        assert "mg_ai_req_id" not in sent

    def test_what_the_inference_service_refuses_is_shown_with_the_next_step(self) -> None:
        refusal = {
            "code": "OTHER_PATIENT",
            "detail": "The file is not of this patient.",
            "next_step": "Choose another.",
        }
        with inference_service({"POST /api/ai/inferences/": (422, refusal)}):
            answer = self.client.post("/patients/P-0001/inferences/", {"model": "MM", "m1_ai_req_id": "ai_req_0001"})
        self.assertContains(answer, "not of this patient. Choose another.", status_code=503)

    def test_an_order_is_sent_with_its_labels_and_only_eligible_ones_are_offered(self) -> None:
        table = "protein,value\nKi67,0.3\n"
        with inference_service({"POST /v1/uploads": (201, {"upload_id": "up_1"})}) as seen:
            for status in ("RESULT_READY", "ORDERED"):
                form = {"job_role": "LIS", "job_type": "BIOMARKER", "ocs_status": status}
                form["table"] = SimpleUploadedFile("t.csv", table.encode())
                assert self.client.post("/patients/P-0001/biomarkers/", form).status_code == 302
        assert "kind=biomarker" in seen[0][0]
        assert "label=job_role%3DLIS&label=job_type%3DBIOMARKER&label=ocs_status%3DRESULT_READY" in seen[0][0]
        assert seen[0][1] == table.encode()
        assert [each.eligible for each in BiomarkerOrder.objects.order_by("pk")] == [True, False]
        self.assertContains(self.client.get("/patients/P-0001/"), '<option value="up_1">', count=1)

    def test_a_segmentation_is_started_by_a_button(self) -> None:
        listed = {"success": True, "requests": [{"request_id": "r1", "series_id": "1.2.3", "status": "pending"}]}
        with inference_service(
            {
                "POST /api/mri/segmentation/series/1.2.3/segment/": (202, {"success": True}),
                "GET /api/mri/segmentation/requests/": (200, listed),
            }
        ) as seen:
            page = self.client.post("/mri/series/-/segment/", {"series_id": "1.2.3"}, follow=True)
            self.assertContains(page, "1.2.3")
            assert self.client.get("/mri/requests.json").json() == listed
            self.assertContains(self.client.get("/mri/series/1.2.3/"), "data-slices")
            with self.settings(ORTHANC_URL=""):
                answer = self.client.get("/mri/series/1.2.3/slices/")
            assert (answer.status_code, "ORTHANC_URL" in json.dumps(answer.json())) == (422, True)
        assert seen[0][0] == "POST /api/mri/segmentation/series/1.2.3/segment/"
        assert self.client.post("/mri/series/-/segment/", {"series_id": "../x"}).status_code == 400
