"""Amazon's S3 API over the containers and objects of the object store: a bucket is a container of the project's account."""
