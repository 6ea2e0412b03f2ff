"""Objects of Kubernetes, each made by a pure function of a settled deployment."""
