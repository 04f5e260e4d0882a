"""Detection and segmentation on backbones of the zoo, a page each."""
