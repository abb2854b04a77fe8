"""Brain tumour inference in MR volumes: a MONAI U-Net, trained here or the user's own, outlines lesions."""
