"""What is measured of rollouts: metrics, estimates with intervals, and the alarm at collapse."""
