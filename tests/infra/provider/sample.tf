# A module for tests of the provider double itself. tests/infra/modules.py changes one line at a time.

terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.29.0"
    }
    alicloud = {
      source  = "aliyun/alicloud"
      version = ">= 1.252.0"
    }
  }
}

resource "aws_sqs_queue" "events" {
  name                       = "events"
  visibility_timeout_seconds = 360
}

resource "aws_iam_role" "function" {
  name               = "function"
  assume_role_policy = jsonencode({})
}

resource "aws_lambda_function" "function" {
  function_name = "function"
  description   = "A function"
  role          = aws_iam_role.function.arn
  filename      = "function.zip"
  architectures = ["arm64"]

  environment {
    variables = {
      QUEUE = aws_sqs_queue.events.url
    }
  }
}

resource "alicloud_oss_bucket" "archive" {
  bucket = "archive"

  lifecycle_rule {
    enabled = true
    expiration {
      days = 30
    }
  }
}

resource "alicloud_fcv3_function" "function" {
  function_name = "function"
  handler       = "bootstrap"
  runtime       = "custom.debian10"

  custom_runtime_config {
    command = ["/code/bootstrap"]
  }

  environment_variables = {
    ARCHIVE = alicloud_oss_bucket.archive.bucket
  }
}

output "arn" {
  value = aws_lambda_function.function.arn
}
