# Stores every console output of every ECS instance in an S3 bucket, on AWS. It creates the same as
# template.yaml, by itself or as a module. The caller configures the AWS provider, which sets the region.

terraform {
  required_version = ">= 1.3"
  required_providers {
    aws = {
      source = "hashicorp/aws"
      # The first version whose permissions can be limited to function URLs.
      version = ">= 6.29.0"
    }
  }
}

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

# In another region than before, an apply finds nothing, and would create everything anew.
data "aws_region" "current" {
  lifecycle {
    postcondition {
      condition     = var.region == null || self.region == var.region
      error_message = "The provider's region is ${self.region}, and the variable region is another one. Set AWS_REGION."
    }
  }
}

locals {
  package     = coalesce(var.package, "${path.module}/../../target/function.zip")
  bucket      = var.existing_bucket != null ? var.existing_bucket : one(aws_s3_bucket.archive[*].bucket)
  bucket_arn  = "arn:${data.aws_partition.current.partition}:s3:::${local.bucket}"
  archive_url = "s3://${local.bucket}/console"

  # Whether there is a secret is not a secret.
  has_key     = nonsensitive(var.alibaba_access_key_id != null)
  has_secret  = nonsensitive(var.alibaba_access_key_secret != null)
  has_token   = nonsensitive(var.webhook_token != null)
  has_webhook = local.has_token || var.webhook_token_arn != null
  has_role    = var.alibaba_role_arn != null

  own_buckets = var.existing_bucket == null ? 1 : 0
  has_kms_key = var.kms_key_arn != null
  # Without the member of the secret's value.
  secret_arns = [for arn in [var.webhook_token_arn, var.alibaba_access_key_arn, var.notify_urls_arn] : split("#", arn)[0] if arn != null]
  # Whether anybody is told of findings.
  has_notices = var.notify_topic_arn != null || var.notify_urls_arn != null
  # S3 and SQS use the key as whoever calls them. By itself, the key is of no use to anyone here.
  through_s3  = { StringEquals = { "kms:ViaService" = "s3.${data.aws_region.current.region}.amazonaws.com" } }
  through_sqs = { StringEquals = { "kms:ViaService" = "sqs.${data.aws_region.current.region}.amazonaws.com" } }
}

resource "aws_s3_bucket" "archive" {
  #checkov:skip=CKV_AWS_18: CloudTrail logs who reads objects. A second bucket for access logs is the account's choice
  #checkov:skip=CKV_AWS_144: A copy in another region is the account's choice, and costs money
  #checkov:skip=CKV_AWS_145: Encrypted with S3's own key without kms_key_arn
  #checkov:skip=CKV2_AWS_62: The product needs no notifications of records. You can add them
  count               = local.own_buckets
  bucket_prefix       = "${var.name}-"
  object_lock_enabled = var.object_lock_days > 0
  # Nothing removes the bucket while it has records.
  force_destroy = false
  tags          = var.tags
}

resource "aws_s3_bucket_server_side_encryption_configuration" "archive" {
  count  = local.own_buckets
  bucket = aws_s3_bucket.archive[0].bucket

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm     = local.has_kms_key ? "aws:kms" : "AES256"
      kms_master_key_id = var.kms_key_arn
    }

    # Otherwise each object would be a request to KMS.
    bucket_key_enabled = local.has_kms_key ? true : null
  }
}

resource "aws_s3_bucket_public_access_block" "archive" {
  count                   = local.own_buckets
  bucket                  = aws_s3_bucket.archive[0].bucket
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "archive" {
  count  = local.own_buckets
  bucket = aws_s3_bucket.archive[0].bucket

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_versioning" "archive" {
  count  = local.own_buckets
  bucket = aws_s3_bucket.archive[0].bucket

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_object_lock_configuration" "archive" {
  count  = var.object_lock_days > 0 ? local.own_buckets : 0
  bucket = aws_s3_bucket.archive[0].bucket

  rule {
    default_retention {
      mode = "GOVERNANCE"
      days = var.object_lock_days
    }
  }

  # S3 locks objects only in a versioned bucket.
  depends_on = [aws_s3_bucket_versioning.archive]
}

resource "aws_s3_bucket_lifecycle_configuration" "archive" {
  count  = local.own_buckets
  bucket = aws_s3_bucket.archive[0].bucket

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

  # These remain when the last version of an object has gone.
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

  # Only a versioned bucket has versions that are not current.
  depends_on = [aws_s3_bucket_versioning.archive]
}

resource "aws_s3_bucket_policy" "archive" {
  count  = local.own_buckets
  bucket = aws_s3_bucket.archive[0].bucket
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      # `s3:*` of `*`, on the bucket and `…/*` in it: denies every action of everyone without TLS.
      Sid       = "OnlyOverTls"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [aws_s3_bucket.archive[0].arn, "${aws_s3_bucket.archive[0].arn}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })

  # S3 refuses two changes of a bucket's access at once.
  depends_on = [aws_s3_bucket_public_access_block.archive]
}

# Other services put events here, and the function takes them.
resource "aws_sqs_queue" "events" {
  name                    = "${var.name}-events"
  tags                    = var.tags
  sqs_managed_sse_enabled = local.has_kms_key ? null : true
  kms_master_key_id       = var.kms_key_arn
  # AWS Lambda asks for six times the function's timeout.
  visibility_timeout_seconds = 360
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.failed_events.arn
    maxReceiveCount     = 5
  })
}

# Brings an event back after a delay, so that the function does not wait for a console.
resource "aws_sqs_queue" "follow" {
  name                       = "${var.name}-follow"
  tags                       = var.tags
  sqs_managed_sse_enabled    = local.has_kms_key ? null : true
  kms_master_key_id          = var.kms_key_arn
  visibility_timeout_seconds = 360
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.failed_events.arn
    maxReceiveCount     = 5
  })
}

# Events that failed for good. `console-archive redrive` serves them again.
resource "aws_sqs_queue" "failed_events" {
  name                      = "${var.name}-failed-events"
  tags                      = var.tags
  sqs_managed_sse_enabled   = local.has_kms_key ? null : true
  kms_master_key_id         = var.kms_key_arn
  message_retention_seconds = 1209600
  # A person who replays events may serve ten of them one after the other.
  visibility_timeout_seconds = 900
  receive_wait_time_seconds  = 5
}

resource "aws_cloudwatch_log_group" "archiver" {
  #checkov:skip=CKV_AWS_158: Encrypted with the service's own key without kms_key_arn; the log holds no console and no secret
  #checkov:skip=CKV_AWS_338: How long log lines are kept is the account's choice. The archive is what lasts
  name              = "/aws/lambda/${var.name}"
  retention_in_days = var.log_retention_days
  log_group_class   = var.log_class
  kms_key_id        = var.kms_key_arn
  tags              = var.tags
}

resource "aws_iam_role" "archiver" {
  name                 = var.name
  description          = "Reads console outputs and stores them in the archive"
  path                 = var.role_path
  permissions_boundary = var.permissions_boundary_arn
  tags                 = var.tags
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
          # `…/console/*`: the function stores any key below its prefix. Only people who run
          # console-archive read and list.
          Effect   = "Allow"
          Action   = "s3:PutObject"
          Resource = "${local.bucket_arn}/console/*"
        },
        {
          Effect   = "Allow"
          Action   = "sqs:SendMessage"
          Resource = [aws_sqs_queue.follow.arn, aws_sqs_queue.failed_events.arn]
        },
        {
          # AWS Lambda takes messages as the function's role.
          Effect   = "Allow"
          Action   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
          Resource = [aws_sqs_queue.events.arn, aws_sqs_queue.follow.arn]
        },
        {
          # `…:*`: every stream of the one log group, because AWS Lambda makes up their names.
          Effect   = "Allow"
          Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
          Resource = "${aws_cloudwatch_log_group.archiver.arn}:*"
        },
      ],
      # S3 asks KMS for a key to encrypt an object with, as the function's role. SQS does so for what is sent,
      # and decrypts what is received.
      [for statement in [
        {
          Effect    = "Allow"
          Action    = "kms:GenerateDataKey"
          Resource  = var.kms_key_arn
          Condition = local.through_s3
        },
        {
          Effect    = "Allow"
          Action    = ["kms:GenerateDataKey", "kms:Decrypt"]
          Resource  = var.kms_key_arn
          Condition = local.through_sqs
        },
      ] : statement if local.has_kms_key],
      var.scheduled_redrive ? [
        {
          Effect   = "Allow"
          Action   = ["sqs:ReceiveMessage", "sqs:DeleteMessage"]
          Resource = aws_sqs_queue.failed_events.arn
        },
      ] : [],
      [for statement in [
        {
          # `console/catalog/*`: keys of the catalog, and no records.
          Effect    = "Allow"
          Action    = "s3:ListBucket"
          Resource  = local.bucket_arn
          Condition = { StringLike = { "s3:prefix" = "console/catalog/*" } }
        },
      ] : statement if var.scheduled_compaction],
      var.scheduled_compaction ? [
        {
          # `…/console/catalog/*`: every row and every day, whatever its name.
          Effect   = "Allow"
          Action   = ["s3:GetObject", "s3:DeleteObject"]
          Resource = "${local.bucket_arn}/console/catalog/*"
        },
      ] : [],
      [for statement in [
        {
          Effect    = "Allow"
          Action    = "kms:Decrypt"
          Resource  = var.kms_key_arn
          Condition = local.through_s3
        },
      ] : statement if var.scheduled_compaction && local.has_kms_key],
      [for statement in [
        {
          # `console/notices/*`: what was told, and no records.
          Effect    = "Allow"
          Action    = "s3:ListBucket"
          Resource  = local.bucket_arn
          Condition = { StringLike = { "s3:prefix" = "console/notices/*" } }
        },
      ] : statement if local.has_notices],
      local.has_notices ? [
        {
          # `…/console/notices/*`: every notice, whatever its name.
          Effect   = "Allow"
          Action   = "s3:GetObject"
          Resource = "${local.bucket_arn}/console/notices/*"
        },
      ] : [],
      [for statement in [
        {
          Effect    = "Allow"
          Action    = "kms:Decrypt"
          Resource  = var.kms_key_arn
          Condition = local.through_s3
        },
      ] : statement if local.has_notices && local.has_kms_key],
      var.notify_topic_arn != null ? [
        {
          Effect   = "Allow"
          Action   = "sns:Publish"
          Resource = var.notify_topic_arn
        },
      ] : [],
      local.has_role ? [
        {
          # `*`: the operation concerns the caller itself and has no resource.
          Effect   = "Allow"
          Action   = "sts:GetWebIdentityToken"
          Resource = "*"
          Condition = {
            "ForAllValues:StringEquals" = { "sts:IdentityTokenAudience" = [var.alibaba_oidc_audience] }
            NumericLessThanEquals       = { "sts:DurationSeconds" = 300 }
          }
        },
      ] : [],
      length(local.secret_arns) > 0 ? [
        {
          # One of the actions is of each ARN's service.
          Effect   = "Allow"
          Action   = ["secretsmanager:GetSecretValue", "ssm:GetParameter"]
          Resource = local.secret_arns
        },
      ] : [],
      # Both decrypt as whoever reads. A secret is in the region of its key.
      var.secrets_kms_key_arn != null ? [
        {
          Effect   = "Allow"
          Action   = "kms:Decrypt"
          Resource = var.secrets_kms_key_arn
          Condition = {
            StringEquals = {
              "kms:ViaService" = [
                for service in ["secretsmanager", "ssm"] : "${service}.${split(":", var.secrets_kms_key_arn)[3]}.amazonaws.com"
              ]
            }
          }
        },
      ] : [],
    )
  })
}

# AWS Lambda makes network interfaces as the function's role.
resource "aws_iam_role_policy_attachment" "vpc" {
  count      = length(var.subnet_ids) > 0 ? 1 : 0
  role       = aws_iam_role.archiver.name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/service-role/AWSLambdaVPCAccessExecutionRole"
}

resource "aws_lambda_function" "archiver" {
  #checkov:skip=CKV_AWS_50: Its log has the outcome of each event, and it calls no service that continues a trace
  #checkov:skip=CKV_AWS_116: The destination for failures keeps more than a dead-letter queue, such as the error
  #checkov:skip=CKV_AWS_117: It calls public APIs only; a VPC would add a NAT gateway
  #checkov:skip=CKV_AWS_173: Encrypted with the service's own key; with alibaba_role_arn there is no secret in it
  #checkov:skip=CKV_AWS_272: Whoever deploys the package builds it from source. A signing profile is the account's choice
  function_name    = var.name
  description      = "Stores console outputs of ECS instances"
  role             = aws_iam_role.archiver.arn
  filename         = var.package_bucket == null ? local.package : null
  source_code_hash = var.package_bucket == null ? filebase64sha256(local.package) : null
  s3_bucket        = var.package_bucket
  s3_key           = var.package_key
  handler          = "bootstrap"
  runtime          = "provided.al2023"
  architectures    = [var.architecture]
  memory_size      = 256
  timeout          = 60
  tags             = var.tags
  # None by default, because new accounts have none to reserve. For AWS Lambda, -1 means no limit. What is
  # reserved must be at least what the queues below take together. Otherwise AWS Lambda throttles what it
  # has received, and five such attempts end in the queue of failed events.
  reserved_concurrent_executions = var.max_concurrency > 0 ? var.max_concurrency : -1

  dynamic "vpc_config" {
    for_each = length(var.subnet_ids) > 0 ? [var.subnet_ids] : []

    content {
      subnet_ids         = vpc_config.value
      security_group_ids = var.security_group_ids
    }
  }

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
        REDACT                  = var.redact
        SCREENSHOTS             = var.screenshots
      },
      var.object_lock_days > 0 ? {
        OBJECT_LOCK_DAYS = tostring(var.object_lock_days)
      } : {},
      local.has_role ? {
        ALIBABA_CLOUD_ROLE_ARN            = var.alibaba_role_arn
        ALIBABA_CLOUD_OIDC_PROVIDER_ARN   = var.alibaba_oidc_provider_arn
        ALIBABA_CLOUD_OIDC_TOKEN_AUDIENCE = var.alibaba_oidc_audience
      } : {},
      local.has_key ? {
        ALIBABA_CLOUD_ACCESS_KEY_ID     = var.alibaba_access_key_id
        ALIBABA_CLOUD_ACCESS_KEY_SECRET = var.alibaba_access_key_secret
      } : {},
      var.alibaba_access_key_arn != null ? {
        ALIBABA_CLOUD_ACCESS_KEY_ARN = var.alibaba_access_key_arn
      } : {},
      local.has_token ? {
        WEBHOOK_TOKEN = var.webhook_token
      } : {},
      var.webhook_token_arn != null ? {
        WEBHOOK_TOKEN_ARN = var.webhook_token_arn
      } : {},
      var.notify_topic_arn != null ? {
        NOTIFY_URLS = var.notify_topic_arn
      } : {},
      var.notify_urls_arn != null ? {
        NOTIFY_URLS_ARN = var.notify_urls_arn
      } : {},
      local.has_notices ? {
        NOTIFY_SEVERITY = var.notify_severity
      } : {},
      # Whatever an existing bucket encrypts with by default, a record is encrypted with this key.
      local.has_kms_key ? {
        AWS_SERVER_SIDE_ENCRYPTION = "aws:kms"
        AWS_SSE_KMS_KEY_ID         = var.kms_key_arn
      } : {},
      var.scheduled_redrive ? {
        FAILED_QUEUE_URL = aws_sqs_queue.failed_events.url
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
      condition     = length([for given in [local.has_role, local.has_key, var.alibaba_access_key_arn != null] : given if given]) == 1
      error_message = "Give one of alibaba_role_arn, alibaba_access_key_id and alibaba_access_key_arn, and only one."
    }
    precondition {
      condition     = !local.has_token || var.webhook_token_arn == null
      error_message = "Give either webhook_token or webhook_token_arn, and not both."
    }
    precondition {
      condition     = var.secrets_kms_key_arn == null || length(local.secret_arns) > 0
      error_message = "Give secrets_kms_key_arn only with webhook_token_arn, alibaba_access_key_arn or notify_urls_arn."
    }
    precondition {
      condition     = (length(var.subnet_ids) == 0) == (length(var.security_group_ids) == 0)
      error_message = "Give subnet_ids and security_group_ids together."
    }
    precondition {
      condition     = var.object_lock_days == 0 || var.existing_bucket == null
      error_message = "Give either object_lock_days or existing_bucket. Lock the objects of your bucket yourself."
    }
    precondition {
      condition     = (var.package_bucket == null) == (var.package_key == null)
      error_message = "Give package_bucket and package_key together."
    }
    precondition {
      condition     = var.package_bucket != null || fileexists(local.package)
      error_message = "There is no zip file at ${local.package}. Run make package, or set package to the zip file of a release."
    }
  }

  # The first invocation may come as soon as the function exists.
  depends_on = [aws_iam_role_policy.archiver, aws_iam_role_policy_attachment.vpc]
}

# The function sends itself follow messages and the rest of a sweep. By default, AWS Lambda ends such a
# chain after about 16 invocations. The program ends each chain itself: an event by FOLLOW_SECONDS and by
# 60 requests, a sweep because each invocation must get further.
resource "aws_lambda_function_recursion_config" "archiver" {
  function_name  = aws_lambda_function.archiver.function_name
  recursive_loop = "Allow"
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
  tags                    = var.tags

  # ECS throttles by account and region, so more at the same time would only wait.
  scaling_config {
    maximum_concurrency = 5
  }
}

resource "aws_lambda_function_url" "archiver" {
  #checkov:skip=CKV_AWS_258: Alibaba Cloud's EventBridge cannot sign for AWS, so the function asks for a token
  count         = local.has_webhook ? 1 : 0
  function_name = aws_lambda_function.archiver.function_name
  # Anyone may call it. The function serves only requests with the token.
  authorization_type = "NONE"
}

# The provider also adds both permissions with the URL, but neither updates nor removes them.
resource "aws_lambda_permission" "url" {
  #checkov:skip=CKV_AWS_301: Anyone may call the URL, because Alibaba Cloud's EventBridge cannot sign for AWS. The function asks for a token
  count         = local.has_webhook ? 1 : 0
  statement_id  = "ArchiverUrl"
  function_name = aws_lambda_function.archiver.function_name
  action        = "lambda:InvokeFunctionUrl"
  # `*`: anyone may call the URL, and the function asks for the token.
  principal              = "*"
  function_url_auth_type = "NONE"
}

resource "aws_lambda_permission" "url_invoke" {
  #checkov:skip=CKV_AWS_301: Anyone may call it by the URL, and in no other way. The function asks for the token
  count         = local.has_webhook ? 1 : 0
  statement_id  = "ArchiverUrlInvoke"
  function_name = aws_lambda_function.archiver.function_name
  action        = "lambda:InvokeFunction"
  # `*`: anyone may call it by the URL, and in no other way.
  principal                = "*"
  invoked_via_function_url = true
}

resource "aws_iam_role" "sweep" {
  count                = length(var.sweep_regions) > 0 ? 1 : 0
  name                 = "${var.name}-sweep"
  description          = "Calls the function once a day"
  path                 = var.role_path
  permissions_boundary = var.permissions_boundary_arn
  tags                 = var.tags
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
    Statement = concat(
      [
        {
          Effect   = "Allow"
          Action   = "lambda:InvokeFunction"
          Resource = aws_lambda_function.archiver.arn
        },
        {
          Effect   = "Allow"
          Action   = "sqs:SendMessage"
          Resource = aws_sqs_queue.failed_events.arn
        },
      ],
      [for statement in [
        {
          Effect    = "Allow"
          Action    = ["kms:GenerateDataKey", "kms:Decrypt"]
          Resource  = var.kms_key_arn
          Condition = local.through_sqs
        },
      ] : statement if local.has_kms_key],
    )
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

    # Otherwise nobody is told of a sweep that could not be started.
    dead_letter_config {
      arn = aws_sqs_queue.failed_events.arn
    }
  }

  # The first sweep may come as soon as the schedule exists.
  depends_on = [aws_iam_role_policy.sweep]
}

resource "aws_iam_role" "redrive" {
  count                = var.scheduled_redrive ? 1 : 0
  name                 = "${var.name}-redrive"
  description          = "Calls the function every six hours"
  path                 = var.role_path
  permissions_boundary = var.permissions_boundary_arn
  tags                 = var.tags
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

resource "aws_iam_role_policy" "redrive" {
  count = var.scheduled_redrive ? 1 : 0
  name  = "invoke"
  role  = aws_iam_role.redrive[0].name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = "lambda:InvokeFunction"
      Resource = aws_lambda_function.archiver.arn
    }]
  })
}

# Without a dead-letter queue: the next redrive makes up for one that could not be started.
resource "aws_scheduler_schedule" "redrive" {
  #checkov:skip=CKV_AWS_297: Encrypted with the service's own key; it holds a number
  count               = var.scheduled_redrive ? 1 : 0
  name                = "${var.name}-redrive"
  description         = "Serves failed events again"
  schedule_expression = "rate(6 hours)"

  flexible_time_window {
    mode                      = "FLEXIBLE"
    maximum_window_in_minutes = 60
  }

  target {
    arn      = aws_lambda_function.archiver.arn
    role_arn = aws_iam_role.redrive[0].arn
    # Five deliveries before an event has failed for good, and ten by redrives.
    input = jsonencode({ redrive = { max_attempts = 15 } })
  }

  # The first redrive may come as soon as the schedule exists.
  depends_on = [aws_iam_role_policy.redrive]
}

resource "aws_iam_role" "compaction" {
  count                = var.scheduled_compaction ? 1 : 0
  name                 = "${var.name}-compaction"
  description          = "Calls the function once a day"
  path                 = var.role_path
  permissions_boundary = var.permissions_boundary_arn
  tags                 = var.tags
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

resource "aws_iam_role_policy" "compaction" {
  count = var.scheduled_compaction ? 1 : 0
  name  = "invoke"
  role  = aws_iam_role.compaction[0].name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = "lambda:InvokeFunction"
      Resource = aws_lambda_function.archiver.arn
    }]
  })
}

# Without a dead-letter queue: the next compaction makes up for one that could not be started.
resource "aws_scheduler_schedule" "compaction" {
  #checkov:skip=CKV_AWS_297: Encrypted with the service's own key; it holds one word
  count       = var.scheduled_compaction ? 1 : 0
  name        = "${var.name}-compaction"
  description = "Joins the catalog's rows of days that are over"
  # In UTC. A day is joined from 01:15 of the next one on.
  schedule_expression = "cron(0 2 * * ? *)"

  flexible_time_window {
    mode                      = "FLEXIBLE"
    maximum_window_in_minutes = 60
  }

  target {
    arn      = aws_lambda_function.archiver.arn
    role_arn = aws_iam_role.compaction[0].arn
    input    = jsonencode({ compact = {} })
  }

  # The first compaction may come as soon as the schedule exists.
  depends_on = [aws_iam_role_policy.compaction]
}

# CloudWatch's alarms may publish to a topic of their own account by its default policy.
resource "aws_sns_topic" "alarms" {
  #checkov:skip=CKV_AWS_26: CloudWatch cannot use SNS's own key, and alarms name the function and no console. kms_key_arn is another one
  count             = var.alarm_topic_arn == null ? 1 : 0
  name              = "${var.name}-alarms"
  display_name      = "ECS console archiver"
  kms_master_key_id = var.kms_key_arn
  tags              = var.tags
}

resource "aws_sns_topic_subscription" "alarms" {
  count     = var.alarm_email != null ? 1 : 0
  topic_arn = local.alarm_topic_arn
  protocol  = "email"
  endpoint  = var.alarm_email

  lifecycle {
    precondition {
      condition     = var.alarm_topic_arn == null
      error_message = "Give either alarm_email or alarm_topic_arn. Subscribe the address to your topic yourself."
    }
  }
}

locals {
  alarm_topic_arn = var.alarm_topic_arn != null ? var.alarm_topic_arn : one(aws_sns_topic.alarms[*].arn)

  # Of every metric below, its vendor's page names the statistic: Sum for counts of AWS Lambda, Maximum for
  # ages and for messages in a queue. A metric of which nothing happened has no data, which is good.
  # NumberOfMessagesSent would not count what SQS itself moves to a dead-letter queue.
  alarms = {
    failed-events = {
      description = "Events failed for good. Read the error in the log, fix its cause, then run console-archive redrive"
      namespace   = "AWS/SQS"
      metric      = "ApproximateNumberOfMessagesVisible"
      dimensions  = { QueueName = aws_sqs_queue.failed_events.name }
      statistic   = "Maximum"
      period      = 300
      periods     = 1
      threshold   = 0
    }
    waiting-events = {
      description = "Events have waited for more than ten minutes. ECS may overwrite their consoles. Look for throttling and failing invocations"
      namespace   = "AWS/SQS"
      metric      = "ApproximateAgeOfOldestMessage"
      dimensions  = { QueueName = aws_sqs_queue.events.name }
      statistic   = "Maximum"
      period      = 300
      periods     = 1
      threshold   = 600
    }
    # The longest delay of a follow message is 900 s. The metric's page does not say whether an age has the
    # delay in it, so the alarm allows for both.
    waiting-follows = {
      description = "Follow messages have waited for more than ten minutes. ECS may overwrite their consoles. Look for throttling and failing invocations"
      namespace   = "AWS/SQS"
      metric      = "ApproximateAgeOfOldestMessage"
      dimensions  = { QueueName = aws_sqs_queue.follow.name }
      statistic   = "Maximum"
      period      = 300
      periods     = 1
      threshold   = 1500
    }
    errors = {
      description = "Invocations fail. The log says which errorType"
      namespace   = "AWS/Lambda"
      metric      = "Errors"
      dimensions  = { FunctionName = aws_lambda_function.archiver.function_name }
      statistic   = "Sum"
      period      = 300
      periods     = 3
      threshold   = 0
    }
    # The function writes the metric into its log, in CloudWatch's embedded format. The Sum counts findings.
    fatal-findings = {
      description = "A console says that a machine cannot go on. Search the log for the word fatal, then run console-archive findings INSTANCE_ID"
      namespace   = "ecs-console-archiver"
      metric      = "Findings"
      dimensions  = { FunctionName = aws_lambda_function.archiver.function_name, Severity = "fatal" }
      statistic   = "Sum"
      period      = 300
      periods     = 1
      threshold   = 0
    }
    dropped-events = {
      description = "AWS Lambda gave up sweeps or other asynchronous events. They are in the queue of failed events. The log says why they failed"
      namespace   = "AWS/Lambda"
      metric      = "AsyncEventsDropped"
      dimensions  = { FunctionName = aws_lambda_function.archiver.function_name }
      statistic   = "Sum"
      period      = 300
      periods     = 1
      threshold   = 0
    }
    # Unit: milliseconds. The two attempts after a failure come within about three minutes.
    late-events = {
      description = "Sweeps or other asynchronous events wait for more than ten minutes. Look for throttling and failing invocations"
      namespace   = "AWS/Lambda"
      metric      = "AsyncEventAge"
      dimensions  = { FunctionName = aws_lambda_function.archiver.function_name }
      statistic   = "Maximum"
      period      = 300
      periods     = 1
      threshold   = 600000
    }
    lost-events = {
      description = "A failed event could not be put into the queue of failed events, and is lost. Sweep its region. Check the queue's policy, its key, and sqs:SendMessage of the function's role"
      namespace   = "AWS/Lambda"
      metric      = "DestinationDeliveryFailures"
      dimensions  = { FunctionName = aws_lambda_function.archiver.function_name }
      statistic   = "Sum"
      period      = 300
      periods     = 1
      threshold   = 0
    }
    recursion = {
      description = "AWS Lambda ends following and sweeps as recursive loops. Deploy again, so that the function's RecursiveLoop is Allow"
      namespace   = "AWS/Lambda"
      metric      = "RecursiveInvocationsDropped"
      dimensions  = { FunctionName = aws_lambda_function.archiver.function_name }
      statistic   = "Sum"
      period      = 300
      periods     = 1
      threshold   = 0
    }
  }

  notice_alarms = {
    # Of the form of fatal-findings. The function counts signatures only if somebody is told.
    new-signatures = {
      description = "A console shows a fault that no instance has shown in the week before. Search the log for new_signature, then run console-archive findings INSTANCE_ID"
      namespace   = "ecs-console-archiver"
      metric      = "NewSignatures"
      dimensions  = { FunctionName = aws_lambda_function.archiver.function_name }
      statistic   = "Sum"
      period      = 300
      periods     = 1
      threshold   = 0
    }
    # A receiver is down, or its address is wrong. The function sends its notices again for some hours.
    notices = {
      description = "A notice was not taken, or could not be counted. Search the log for notice_id or notice, then run console-archive doctor --deployed FUNCTION_NAME --send-test-notice"
      namespace   = "ecs-console-archiver"
      metric      = "NoticesFailed"
      dimensions  = { FunctionName = aws_lambda_function.archiver.function_name }
      statistic   = "Sum"
      period      = 300
      periods     = 1
      threshold   = 0
    }
  }

  url_alarms = {
    # These do not count as errors of the function, because the invocation succeeds.
    pushes = {
      description = "EventBridge gets errors as answers to its events. The log says which errorType"
      namespace   = "AWS/Lambda"
      metric      = "Url5xxCount"
      dimensions  = { FunctionName = aws_lambda_function.archiver.function_name }
      statistic   = "Sum"
      period      = 300
      periods     = 1
      threshold   = 0
    }
    # A wrong token. EventBridge sends a refused event again for a day, so it is several requests an hour.
    rejected-requests = {
      description = "Requests to the function's URL get status 4xx. Look for unauthorized in the log, and compare the token in both rules. Without such a line, AWS Lambda refuses or throttles them itself"
      namespace   = "AWS/Lambda"
      metric      = "Url4xxCount"
      dimensions  = { FunctionName = aws_lambda_function.archiver.function_name }
      statistic   = "Sum"
      period      = 3600
      periods     = 1
      threshold   = var.rejected_requests_per_hour
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "archiver" {
  for_each = merge(
    local.alarms,
    { for name, alarm in local.notice_alarms : name => alarm if local.has_notices },
    { for name, alarm in local.url_alarms : name => alarm if local.has_webhook },
  )
  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  period              = each.value.period
  evaluation_periods  = each.value.periods
  threshold           = each.value.threshold
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = [local.alarm_topic_arn]
  tags                = var.tags
}

locals {
  url_metrics = local.has_webhook ? { requests = "UrlRequestCount", rejected = "Url4xxCount" } : {}
  # Counts events that arrive, and neither sweeps nor follow messages, which would hide that no more come:
  # messages that others send to the events queue, and requests that were not rejected.
  heartbeat = concat(
    [
      {
        id         = "sent"
        namespace  = "AWS/SQS"
        metric     = "NumberOfMessagesSent"
        dimensions = { QueueName = aws_sqs_queue.events.name }
      },
    ],
    [
      for id, metric in local.url_metrics : {
        id         = id
        namespace  = "AWS/Lambda"
        metric     = metric
        dimensions = { FunctionName = aws_lambda_function.archiver.function_name }
      }
    ],
  )
}

# Each boot whose console has settled adds 1 to one of the two metrics, and 0 to the other.
resource "aws_cloudwatch_metric_alarm" "logins" {
  count               = var.logins_not_reached_percent > 0 ? 1 : 0
  alarm_name          = "${var.name}-logins-not-reached"
  alarm_description   = "More boots than logins_not_reached_percent says did not come to their login prompt. Search the log for not_reached, then run console-archive report --boots"
  evaluation_periods  = 1
  threshold           = var.logins_not_reached_percent
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = [local.alarm_topic_arn]
  tags                = var.tags

  metric_query {
    id          = "percent"
    expression  = "IF(reached + missed >= ${var.logins_not_reached_minimum}, 100 * missed / (reached + missed), 0)"
    label       = "Boots that never came to their login prompt, in percent"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = { reached = "LoginsReached", missed = "LoginsNotReached" }

    content {
      id = metric_query.key

      metric {
        namespace   = "ecs-console-archiver"
        metric_name = metric_query.value
        dimensions  = { FunctionName = aws_lambda_function.archiver.function_name }
        period      = 3600
        stat        = "Sum"
      }
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "heartbeat" {
  count               = var.heartbeat_days > 0 ? 1 : 0
  alarm_name          = "${var.name}-heartbeat"
  alarm_description   = "No event has come for as many days as heartbeat_days says. Reboot an instance. If nothing comes, check the rules of Alibaba Cloud EventBridge"
  evaluation_periods  = var.heartbeat_days
  threshold           = 1
  comparison_operator = "LessThanThreshold"
  # Before the first event there is no data, and after the last one none may be left.
  treat_missing_data = "breaching"
  alarm_actions      = [local.alarm_topic_arn]
  tags               = var.tags

  metric_query {
    id          = "events"
    expression  = local.has_webhook ? "FILL(sent, 0) + FILL(requests, 0) - FILL(rejected, 0)" : "FILL(sent, 0)"
    label       = "Events"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = local.heartbeat

    content {
      id = metric_query.value.id

      metric {
        namespace   = metric_query.value.namespace
        metric_name = metric_query.value.metric
        dimensions  = metric_query.value.dimensions
        period      = 86400
        stat        = "Sum"
      }
    }
  }
}

resource "aws_cloudwatch_dashboard" "archiver" {
  count          = var.dashboard ? 1 : 0
  dashboard_name = var.name
  dashboard_body = templatefile("${path.module}/dashboard.json", {
    Region       = data.aws_region.current.region
    Archiver     = aws_lambda_function.archiver.function_name
    Events       = aws_sqs_queue.events.name
    FollowQueue  = aws_sqs_queue.follow.name
    FailedEvents = aws_sqs_queue.failed_events.name
    Log          = aws_cloudwatch_log_group.archiver.name
  })
}

# Attach it to the role of the people who run console-archive.
resource "aws_iam_policy" "reader" {
  name        = "${var.name}-reader"
  description = "Lists and reads the archive, and has the function check itself"
  path        = var.role_path
  tags        = var.tags
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          # `console/*`: keys below the archive's prefix, and no others.
          Effect    = "Allow"
          Action    = "s3:ListBucket"
          Resource  = local.bucket_arn
          Condition = { StringLike = { "s3:prefix" = "console/*" } }
        },
        {
          # `…/console/*`: every record, of every instance.
          Effect   = "Allow"
          Action   = "s3:GetObject"
          Resource = "${local.bucket_arn}/console/*"
        },
        {
          Effect   = "Allow"
          Action   = "lambda:InvokeFunction"
          Resource = aws_lambda_function.archiver.arn
        },
      ],
      [for statement in [
        {
          Effect    = "Allow"
          Action    = "kms:Decrypt"
          Resource  = var.kms_key_arn
          Condition = local.through_s3
        },
      ] : statement if local.has_kms_key],
    )
  })
}

# Attach it to the role of the people who run console-archive redrive, which serves an event as the
# function does.
resource "aws_iam_policy" "redrive" {
  name        = "${var.name}-redrive"
  description = "Replays failed events"
  path        = var.role_path
  tags        = var.tags
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Effect   = "Allow"
          Action   = ["sqs:ReceiveMessage", "sqs:DeleteMessage"]
          Resource = aws_sqs_queue.failed_events.arn
        },
        {
          # `…/console/*`: a record of any instance, below the archive's prefix.
          Effect   = "Allow"
          Action   = "s3:PutObject"
          Resource = "${local.bucket_arn}/console/*"
        },
      ],
      [for statement in [
        {
          Effect    = "Allow"
          Action    = "kms:Decrypt"
          Resource  = var.kms_key_arn
          Condition = local.through_sqs
        },
        {
          Effect    = "Allow"
          Action    = "kms:GenerateDataKey"
          Resource  = var.kms_key_arn
          Condition = local.through_s3
        },
      ] : statement if local.has_kms_key],
    )
  })
}

# A catalogue has one database of a name, so this one has the name of the deployment.
resource "aws_glue_catalog_database" "archive" {
  name = replace(var.name, "-", "_")
  tags = var.tags
}

# A line of a console is a row. Every query must name the instance.
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

locals {
  # The members of a row, which docs/catalog.md explains. Times are text, because a timestamp of Hive has neither T nor
  # Z; the view records makes times of them.
  catalog_columns = [
    { name = "key", type = "string" },
    { name = "instance_id", type = "string" },
    { name = "region_id", type = "string" },
    { name = "account_id", type = "string" },
    { name = "captured_at", type = "string" },
    { name = "outcome", type = "string" },
    { name = "reason", type = "string" },
    { name = "event_cause", type = "string" },
    { name = "event_id", type = "string" },
    { name = "event_time", type = "string" },
    { name = "last_update_time", type = "string" },
    { name = "freshness", type = "string" },
    { name = "freshness_at", type = "string" },
    { name = "freshness_is_final", type = "boolean" },
    { name = "ending", type = "string" },
    { name = "boots", type = "bigint" },
    { name = "reached_login", type = "boolean" },
    { name = "kernel", type = "string" },
    { name = "sha256", type = "string" },
    { name = "console_bytes", type = "bigint" },
    { name = "gzip_bytes", type = "bigint" },
    { name = "findings", type = "array<struct<id:string,family:string,severity:string,title:string,signature:string,count:bigint,line:bigint,bytes:array<bigint>>>" },
    { name = "last_captured_at", type = "string" },
    { name = "pruned_at", type = "string" },
    { name = "schema", type = "int" },
  ]
  # Description and text, by the name of the file.
  catalog_queries = {
    for file in fileset("${path.module}/queries", "*.sql") :
    trimsuffix(file, ".sql") => regex("(?s)^-- ([^\n]*)\n(.*)$", file("${path.module}/queries/${file}"))
  }
}

# A row of the catalog is a row, of the days that were joined. Nobody has to add days: Athena makes up the folder of
# each from its date.
resource "aws_glue_catalog_table" "catalog" {
  count         = var.catalog_table ? 1 : 0
  name          = "catalog_rows"
  database_name = aws_glue_catalog_database.archive.name
  table_type    = "EXTERNAL_TABLE"

  parameters = {
    "classification"            = "json"
    "projection.enabled"        = "true"
    "projection.dt.type"        = "date"
    "projection.dt.format"      = "yyyy-MM-dd"
    "projection.dt.range"       = "2026-01-01,NOW"
    "storage.location.template" = "${local.archive_url}/catalog/days/dt=$${dt}/"
  }

  partition_keys {
    name = "dt"
    type = "string"
  }

  storage_descriptor {
    location      = "${local.archive_url}/catalog/days/"
    input_format  = "org.apache.hadoop.mapred.TextInputFormat"
    output_format = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"

    dynamic "columns" {
      for_each = local.catalog_columns

      content {
        name = columns.value.name
        type = columns.value.type
      }
    }

    # Athena's page on the other one for JSON, OpenX's, says that its results can be non-deterministic.
    ser_de_info {
      serialization_library = "org.apache.hive.hcatalog.data.JsonSerDe"
    }
  }
}

resource "aws_athena_named_query" "catalog" {
  for_each    = { for name, query in local.catalog_queries : name => query if var.catalog_table }
  name        = "${var.name}: ${replace(each.key, "-", " ")}"
  description = each.value[0]
  database    = aws_glue_catalog_database.archive.name
  query       = each.value[1]
}
