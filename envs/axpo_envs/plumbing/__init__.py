"""What has no knowledge of environments: strict JSON, data as bytes, extras, named objects, web services."""
