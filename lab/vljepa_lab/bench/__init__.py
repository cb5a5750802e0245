"""Speed: benchmarks on one harness, each with a control measured in the same run."""
