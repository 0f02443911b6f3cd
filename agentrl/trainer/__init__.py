"""The training loop and its parts; needs the packages of the extra ``train``."""
