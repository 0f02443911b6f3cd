"""What engine and trainer both know of models: their layout, their own plain pass, and attention kernels."""
