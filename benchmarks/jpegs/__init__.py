"""The JPEGs: 2,000 images and MobileNetV2, by fanwise, by hand and by its peers, one program each."""
