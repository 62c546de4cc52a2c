"""What people see of an episode: frames as pixels, and the terminal."""
