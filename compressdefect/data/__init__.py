"""Images and their labels: readers, splits, augmentation."""
