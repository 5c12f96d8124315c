"""Facts about EKS for people: the IAM rights of `up`, and what the nodes cost."""
