"""An image as the objects that serve it on KServe and OpenShift AI: values in, plain manifests out, no cluster."""
