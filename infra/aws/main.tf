# Keeps every console output of every ECS instance in an S3 bucket, on AWS: what template.yaml
# creates, with Terraform, by itself or as a module. The region and the tags of all resources are
# the AWS provider's, which is the caller's to configure.

terraform {
  required_version = ">= 1.3"
  required_providers {
    aws = {
      source = "hashicorp/aws"
      # The first whose permissions can be for function URLs only.
      version = ">= 6.29.0"
    }
  }
}

data "aws_caller_identity" "current" {}

locals {
  package     = coalesce(var.package, "${path.module}/../../target/function.zip")
  archive_url = "s3://${aws_s3_bucket.archive.bucket}/console"

  # Whether a secret is given is none.
  has_key     = nonsensitive(var.alibaba_access_key_id != null)
  has_secret  = nonsensitive(var.alibaba_access_key_secret != null)
  has_webhook = nonsensitive(var.webhook_token != null)
  has_role    = var.alibaba_role_arn != null
}

resource "aws_s3_bucket" "archive" {
  #checkov:skip=CKV_AWS_18: Who reads objects is CloudTrail's to log; a second bucket would be the account's to choose
  #checkov:skip=CKV_AWS_144: A copy in another region is the account's to choose, and to pay
  #checkov:skip=CKV_AWS_145: Encrypted with S3's own key; another one would be the account's to choose, and readers' to be let use
  #checkov:skip=CKV2_AWS_62: Whoever wants to know of records can add notifications; the product needs none
  bucket_prefix       = "${var.name}-"
  object_lock_enabled = var.object_lock_days > 0
  # With records in it, it is not removed, whatever is destroyed.
  force_destroy = false
}

resource "aws_s3_bucket_server_side_encryption_configuration" "archive" {
  bucket = aws_s3_bucket.archive.bucket

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_public_access_block" "archive" {
  bucket                  = aws_s3_bucket.archive.bucket
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "archive" {
  bucket = aws_s3_bucket.archive.bucket

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_versioning" "archive" {
  bucket = aws_s3_bucket.archive.bucket

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_object_lock_configuration" "archive" {
  count  = var.object_lock_days > 0 ? 1 : 0
  bucket = aws_s3_bucket.archive.bucket

  rule {
    default_retention {
      mode = "GOVERNANCE"
      days = var.object_lock_days
    }
  }

  # S3 locks objects in a versioned bucket only.
  depends_on = [aws_s3_bucket_versioning.archive]
}

resource "aws_s3_bucket_lifecycle_configuration" "archive" {
  bucket = aws_s3_bucket.archive.bucket

  rule {
    id     = "Records"
    status = "Enabled"

    filter {
      prefix = "console/"
    }

    expiration {
      days = var.retention_days
    }

    noncurrent_version_expiration {
      noncurrent_days = 30
    }
  }

  # What is left where the last version of an object is gone.
  rule {
    id     = "DeleteMarkers"
    status = "Enabled"

    filter {
      prefix = "console/"
    }

    expiration {
      expired_object_delete_marker = true
    }
  }

  rule {
    id     = "Leftovers"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }

  # Versions that are not current exist in a versioned bucket only.
  depends_on = [aws_s3_bucket_versioning.archive]
}

resource "aws_s3_bucket_policy" "archive" {
  bucket = aws_s3_bucket.archive.bucket
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      # `s3:*` of `*`, on the bucket and `…/*` in it: every action of everyone is denied where it is
      # not encrypted on the way.
      Sid       = "OnlyOverTls"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [aws_s3_bucket.archive.arn, "${aws_s3_bucket.archive.arn}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })

  # S3 refuses two changes of a bucket's access at once.
  depends_on = [aws_s3_bucket_public_access_block.archive]
}

# Where other services put events; the function takes them from here.
resource "aws_sqs_queue" "events" {
  name                    = "${var.name}-events"
  sqs_managed_sse_enabled = true
  # Six times the function's timeout, as AWS Lambda asks for.
  visibility_timeout_seconds = 360
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.failed_events.arn
    maxReceiveCount     = 5
  })
}

# Brings an event back after a while, so that the function need not wait for a console.
resource "aws_sqs_queue" "follow" {
  name                       = "${var.name}-follow"
  sqs_managed_sse_enabled    = true
  visibility_timeout_seconds = 360
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.failed_events.arn
    maxReceiveCount     = 5
  })
}

# Events that failed for good; `console-archive redrive` serves them again.
resource "aws_sqs_queue" "failed_events" {
  name                      = "${var.name}-failed-events"
  sqs_managed_sse_enabled   = true
  message_retention_seconds = 1209600
  # Somebody may serve ten of them one after the other.
  visibility_timeout_seconds = 900
  receive_wait_time_seconds  = 5
}

resource "aws_cloudwatch_log_group" "archiver" {
  #checkov:skip=CKV_AWS_158: Encrypted with the service's own key; the log holds no console and no secret
  #checkov:skip=CKV_AWS_338: How long log lines are kept is the account's to choose; the archive is what lasts
  name              = "/aws/lambda/${var.name}"
  retention_in_days = var.log_retention_days
}

resource "aws_iam_role" "archiver" {
  name        = var.name
  description = "Reads console outputs and stores them in the archive"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "lambda.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy" "archiver" {
  name = "archive"
  role = aws_iam_role.archiver.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          # `…/console/*`: it writes below its prefix; reading and listing are for the people who run
          # console-archive.
          Effect   = "Allow"
          Action   = "s3:PutObject"
          Resource = "${aws_s3_bucket.archive.arn}/console/*"
        },
        {
          Effect   = "Allow"
          Action   = "sqs:SendMessage"
          Resource = [aws_sqs_queue.follow.arn, aws_sqs_queue.failed_events.arn]
        },
        {
          # AWS Lambda takes messages in the function's name.
          Effect   = "Allow"
          Action   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
          Resource = [aws_sqs_queue.events.arn, aws_sqs_queue.follow.arn]
        },
        {
          # `…:*`: every stream of the one log group, for AWS Lambda makes up their names.
          Effect   = "Allow"
          Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
          Resource = "${aws_cloudwatch_log_group.archiver.arn}:*"
        },
      ],
      local.has_role ? [
        {
          # `*`: the operation is about the caller itself and has no resource.
          Effect   = "Allow"
          Action   = "sts:GetWebIdentityToken"
          Resource = "*"
          Condition = {
            "ForAllValues:StringEquals" = { "sts:IdentityTokenAudience" = [var.alibaba_oidc_audience] }
            NumericLessThanEquals       = { "sts:DurationSeconds" = 300 }
          }
        },
      ] : [],
    )
  })
}

resource "aws_lambda_function" "archiver" {
  #checkov:skip=CKV_AWS_50: Its log tells what each event came to, and it calls no service that continues a trace
  #checkov:skip=CKV_AWS_116: The destination for failures keeps more than a dead-letter queue would, the error too
  #checkov:skip=CKV_AWS_117: It calls public APIs only; a VPC would add a NAT gateway
  #checkov:skip=CKV_AWS_173: Encrypted with the service's own key; with alibaba_role_arn there is no secret in it
  #checkov:skip=CKV_AWS_272: The package is built from source by who deploys it; a signing profile would be the account's to choose
  function_name    = var.name
  description      = "Stores console outputs of ECS instances"
  role             = aws_iam_role.archiver.arn
  filename         = local.package
  source_code_hash = filebase64sha256(local.package)
  handler          = "bootstrap"
  runtime          = "provided.al2023"
  architectures    = [var.architecture]
  memory_size      = 256
  timeout          = 60
  # None by default: accounts that are new have none to reserve. For AWS Lambda, -1 is no limit.
  reserved_concurrent_executions = var.max_concurrency > 0 ? var.max_concurrency : -1

  logging_config {
    log_group  = aws_cloudwatch_log_group.archiver.name
    log_format = "JSON"
  }

  environment {
    variables = merge(
      {
        ARCHIVE_URL             = local.archive_url
        ALIBABA_CLOUD_REGION_ID = var.alibaba_region_id
        FOLLOW_SECONDS          = tostring(var.follow_seconds)
        FOLLOW_QUEUE_URL        = aws_sqs_queue.follow.url
      },
      local.has_role ? {
        ALIBABA_CLOUD_ROLE_ARN            = var.alibaba_role_arn
        ALIBABA_CLOUD_OIDC_PROVIDER_ARN   = var.alibaba_oidc_provider_arn
        ALIBABA_CLOUD_OIDC_TOKEN_AUDIENCE = var.alibaba_oidc_audience
        } : {
        ALIBABA_CLOUD_ACCESS_KEY_ID     = var.alibaba_access_key_id
        ALIBABA_CLOUD_ACCESS_KEY_SECRET = var.alibaba_access_key_secret
      },
      local.has_webhook ? {
        WEBHOOK_TOKEN = var.webhook_token
      } : {},
    )
  }

  lifecycle {
    precondition {
      condition     = local.has_role == (var.alibaba_oidc_provider_arn != null)
      error_message = "Give alibaba_role_arn and alibaba_oidc_provider_arn together."
    }
    precondition {
      condition     = local.has_key == local.has_secret
      error_message = "Give alibaba_access_key_id and alibaba_access_key_secret together."
    }
    precondition {
      condition     = local.has_role != local.has_key
      error_message = "Give either alibaba_role_arn or alibaba_access_key_id, and not both."
    }
  }

  # Its first invocation may come as soon as it is there.
  depends_on = [aws_iam_role_policy.archiver]
}

resource "aws_lambda_function_event_invoke_config" "archiver" {
  function_name                = aws_lambda_function.archiver.function_name
  maximum_retry_attempts       = 2
  maximum_event_age_in_seconds = 21600

  destination_config {
    on_failure {
      destination = aws_sqs_queue.failed_events.arn
    }
  }
}

resource "aws_lambda_event_source_mapping" "queues" {
  for_each = {
    events = aws_sqs_queue.events.arn
    follow = aws_sqs_queue.follow.arn
  }
  event_source_arn        = each.value
  function_name           = aws_lambda_function.archiver.arn
  batch_size              = 10
  function_response_types = ["ReportBatchItemFailures"]

  # ECS throttles by account and region; more at once would only wait.
  scaling_config {
    maximum_concurrency = 5
  }
}

resource "aws_lambda_function_url" "archiver" {
  #checkov:skip=CKV_AWS_258: EventBridge of Alibaba Cloud cannot sign for AWS; the function asks for the token
  count         = local.has_webhook ? 1 : 0
  function_name = aws_lambda_function.archiver.function_name
  # Anyone reaches it; the function serves whoever has the token.
  authorization_type = "NONE"
}

# The provider adds both permissions with the URL, too, but neither looks after them nor removes them.
resource "aws_lambda_permission" "url" {
  #checkov:skip=CKV_AWS_301: Anyone may come by the URL, for EventBridge of Alibaba Cloud cannot sign for AWS; the function asks for the token
  count         = local.has_webhook ? 1 : 0
  statement_id  = "ArchiverUrl"
  function_name = aws_lambda_function.archiver.function_name
  action        = "lambda:InvokeFunctionUrl"
  # `*`: anyone, by the URL; the function asks for the token.
  principal              = "*"
  function_url_auth_type = "NONE"
}

resource "aws_lambda_permission" "url_invoke" {
  #checkov:skip=CKV_AWS_301: Anyone may come by the URL and in no other way; the function asks for the token
  count         = local.has_webhook ? 1 : 0
  statement_id  = "ArchiverUrlInvoke"
  function_name = aws_lambda_function.archiver.function_name
  action        = "lambda:InvokeFunction"
  # `*`: anyone, by the URL and in no other way.
  principal                = "*"
  invoked_via_function_url = true
}

resource "aws_iam_role" "sweep" {
  count       = length(var.sweep_regions) > 0 ? 1 : 0
  name        = "${var.name}-sweep"
  description = "Calls the function once a day"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "scheduler.amazonaws.com" }
      Condition = {
        StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.current.account_id }
      }
    }]
  })
}

resource "aws_iam_role_policy" "sweep" {
  count = length(var.sweep_regions) > 0 ? 1 : 0
  name  = "invoke"
  role  = aws_iam_role.sweep[0].name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = "lambda:InvokeFunction"
      Resource = aws_lambda_function.archiver.arn
    }]
  })
}

resource "aws_scheduler_schedule" "sweep" {
  #checkov:skip=CKV_AWS_297: Encrypted with the service's own key; it holds the names of regions
  count               = length(var.sweep_regions) > 0 ? 1 : 0
  name                = "${var.name}-sweep"
  description         = "Captures what missed events left out"
  schedule_expression = "rate(1 day)"

  flexible_time_window {
    mode                      = "FLEXIBLE"
    maximum_window_in_minutes = 60
  }

  target {
    arn      = aws_lambda_function.archiver.arn
    role_arn = aws_iam_role.sweep[0].arn
    input    = jsonencode({ sweep = { regions = var.sweep_regions } })
  }

  # The first sweep may come as soon as it is there.
  depends_on = [aws_iam_role_policy.sweep]
}

locals {
  alarms = {
    failed-events = {
      description = "Events failed for good. Read the error in the log, fix its cause, then run console-archive redrive"
      namespace   = "AWS/SQS"
      metric      = "ApproximateNumberOfMessagesVisible"
      dimensions  = { QueueName = aws_sqs_queue.failed_events.name }
      statistic   = "Maximum"
      periods     = 1
      threshold   = 0
    }
    waiting-events = {
      description = "Events have waited for more than ten minutes. ECS may overwrite their consoles. Look for throttling and failing invocations"
      namespace   = "AWS/SQS"
      metric      = "ApproximateAgeOfOldestMessage"
      dimensions  = { QueueName = aws_sqs_queue.events.name }
      statistic   = "Maximum"
      periods     = 1
      threshold   = 600
    }
    waiting-follows = {
      description = "Follow messages have waited for more than ten minutes. ECS may overwrite their consoles. Look for throttling and failing invocations"
      namespace   = "AWS/SQS"
      metric      = "ApproximateAgeOfOldestMessage"
      dimensions  = { QueueName = aws_sqs_queue.follow.name }
      statistic   = "Maximum"
      periods     = 1
      threshold   = 600
    }
    # Not counted among the function's errors, because the invocation succeeds.
    pushes = {
      description = "EventBridge gets errors as answers to its events. The log says which errorType"
      namespace   = "AWS/Lambda"
      metric      = "Url5xxCount"
      dimensions  = { FunctionName = aws_lambda_function.archiver.function_name }
      statistic   = "Sum"
      periods     = 1
      threshold   = 0
    }
    errors = {
      description = "Invocations fail. The log says which errorType"
      namespace   = "AWS/Lambda"
      metric      = "Errors"
      dimensions  = { FunctionName = aws_lambda_function.archiver.function_name }
      statistic   = "Sum"
      periods     = 3
      threshold   = 0
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "archiver" {
  for_each            = { for name, alarm in local.alarms : name => alarm if name != "pushes" || local.has_webhook }
  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  period              = 300
  evaluation_periods  = each.value.periods
  threshold           = each.value.threshold
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = compact([var.alarm_topic_arn])
}

# For the people who run console-archive: attach it to their role.
resource "aws_iam_policy" "reader" {
  name        = "${var.name}-reader"
  description = "Lists and reads the archive"
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        # `console/*`: keys below the archive's prefix, and no others.
        Effect    = "Allow"
        Action    = "s3:ListBucket"
        Resource  = aws_s3_bucket.archive.arn
        Condition = { StringLike = { "s3:prefix" = "console/*" } }
      },
      {
        # `…/console/*`: every record, of every instance.
        Effect   = "Allow"
        Action   = "s3:GetObject"
        Resource = "${aws_s3_bucket.archive.arn}/console/*"
      },
    ]
  })
}

# For the people who run console-archive redrive: it serves an event as the function does.
resource "aws_iam_policy" "redrive" {
  name        = "${var.name}-redrive"
  description = "Replays failed events"
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect   = "Allow"
        Action   = ["sqs:ReceiveMessage", "sqs:DeleteMessage"]
        Resource = aws_sqs_queue.failed_events.arn
      },
      {
        # `…/console/*`: a record of any instance, below the archive's prefix.
        Effect   = "Allow"
        Action   = "s3:PutObject"
        Resource = "${aws_s3_bucket.archive.arn}/console/*"
      },
    ]
  })
}

# Named after the deployment: a catalogue has one database of a name.
resource "aws_glue_catalog_database" "archive" {
  name = replace(var.name, "-", "_")
}

# A line of a console is a row; the instance must be named in every query.
resource "aws_glue_catalog_table" "lines" {
  name          = "lines"
  database_name = aws_glue_catalog_database.archive.name
  table_type    = "EXTERNAL_TABLE"

  parameters = {
    "classification"              = "csv"
    "projection.enabled"          = "true"
    "projection.instance_id.type" = "injected"
    "storage.location.template"   = "${local.archive_url}/$${instance_id}/"
  }

  partition_keys {
    name = "instance_id"
    type = "string"
  }

  storage_descriptor {
    location      = "${local.archive_url}/"
    input_format  = "org.apache.hadoop.mapred.TextInputFormat"
    output_format = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"

    columns {
      name = "line"
      type = "string"
    }

    ser_de_info {
      serialization_library = "org.apache.hadoop.hive.serde2.RegexSerDe"
      parameters            = { "input.regex" = "(.*)" }
    }
  }
}
