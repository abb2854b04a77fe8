"""The MRI lab: a DICOM series from an Orthanc in, a DICOM SEG of its lesions into the same Orthanc.

`contract.py` has the job's input and output; `processor.py` the four steps. `orthanc.py` talks to the server, `series.py` reads
slices as a volume, `dicom_seg.py` writes the mask. Serving needs the extra `medical`.
"""
