"""Speed, side by side with what people use today, as ratios: ``python -m benchmarks``."""
