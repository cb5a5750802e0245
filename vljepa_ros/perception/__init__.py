"""What a robot does with a model: frames, clips, labels, change, VQA. No ROS here."""
