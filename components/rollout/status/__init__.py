"""The state of a Deployment's rollout, worked out from the objects that the API server hands out.

Pure functions: `snapshot` holds the objects, `pods`, `events` and `images` find what keeps a pod
from its start, `progress` judges the whole rollout.
"""
