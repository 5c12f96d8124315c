"""The state of a Deployment's rollout, derived from the objects that the API server returns.

Pure functions: `snapshot` holds the objects, `pods` and `refusals` find the reasons why a pod
does not start, `progress` judges the whole rollout.
"""
