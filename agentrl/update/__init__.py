"""From scored samples to new weights: batches, packed passes, losses applied, optimiser steps. Knows no run."""
