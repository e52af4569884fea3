"""Reads an object with boto3: ENDPOINT BUCKET KEY; the credentials come by the environment."""

import hashlib
import json
import sys

import boto3
from botocore.config import Config

endpoint, bucket, key = sys.argv[1:]
client = boto3.client("s3", endpoint_url=endpoint, config=Config(s3={"addressing_style": "path"}))
answer = client.get_object(Bucket=bucket, Key=key)
body = answer["Body"].read()
print(json.dumps({"md5": hashlib.md5(body).hexdigest(), "bytes": len(body), "type": answer["ContentType"]}))
