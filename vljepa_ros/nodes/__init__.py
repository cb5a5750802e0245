"""The ROS nodes: parameters, topics and services over `perception`, nothing else."""
