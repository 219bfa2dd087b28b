# Keeps every console output of every ECS instance in an OSS bucket, on Alibaba Cloud alone: the
# function on Function Compute 3, called by EventBridge, with a RAM role and no key.
#
# The region is the provider's (ALIBABA_CLOUD_REGION, where this folder is applied by itself). A bus
# has the events of its own region only; instances elsewhere are reached by a sweep.
# Function Compute, EventBridge and Simple Log Service must be activated in the account, and
# EventBridge's role for Function Compute created, which its console asks for once.

terraform {
  required_version = ">= 1.3"
  required_providers {
    alicloud = {
      source  = "aliyun/alicloud"
      version = ">= 1.252.0"
    }
  }
}

data "alicloud_account" "current" {}

data "alicloud_regions" "current" {
  current = true
}

locals {
  account = data.alicloud_account.current.id
  region  = data.alicloud_regions.current.regions[0].id
  package = coalesce(var.package, "${path.module}/../../target/function.zip")

  # Two rules: a pattern with data.state would drop the system events, which have none.
  rules = {
    state-changes = {
      source = ["acs.ecs"]
      type   = ["ecs:Instance:StateChange"]
      data   = { state = ["Stopping", "Starting", "Running"] }
    }
    system-events = {
      source = ["acs.ecs"]
      type = [
        "ecs:Instance:InstanceFailure.Reboot",
        "ecs:Instance:PreemptibleInstanceInterruption",
        "ecs:Instance:SystemFailure.Reboot",
        "ecs:Instance:SystemMaintenance.Reboot",
        "ecs:Instance:SystemMaintenance.RebootAndIsolateErrorDisk",
        "ecs:Instance:SystemMaintenance.RebootAndReInitErrorDisk",
      ]
    }
  }
}

# Without versioning: OSS honours x-oss-forbid-overwrite in such a bucket only.
resource "alicloud_oss_bucket" "archive" {
  #checkov:skip=CKV_ALI_10: A versioned bucket ignores the header by which nothing is ever replaced
  #checkov:skip=CKV_ALI_6: Encrypted with OSS's own key; a key of the account's own would be its to choose
  #checkov:skip=CKV_ALI_11: The function is in the bucket's region, and acceleration is a public endpoint
  #checkov:skip=CKV_ALI_12: Who reads objects is ActionTrail's to log; a second bucket would be the account's to choose
  bucket          = var.bucket
  redundancy_type = var.redundancy

  server_side_encryption_rule {
    sse_algorithm = "AES256"
  }

  lifecycle_rule {
    id      = "records"
    enabled = true
    prefix  = "console/"
    expiration {
      days = var.retention_days
    }
  }
}

resource "alicloud_oss_bucket_public_access_block" "archive" {
  bucket              = alicloud_oss_bucket.archive.bucket
  block_public_access = true
}

resource "alicloud_oss_bucket_policy" "archive" {
  bucket = alicloud_oss_bucket.archive.bucket
  policy = jsonencode({
    Version = "1"
    Statement = [{
      # `oss:*` of `*`, on `acs:oss:*:…:…` and `acs:oss:*:…:…/*` in it: every action of everyone is
      # denied where it is not encrypted on the way. A bucket's region is not part of its name.
      Effect    = "Deny"
      Principal = ["*"]
      Action    = ["oss:*"]
      Resource = [
        "acs:oss:*:${local.account}:${var.bucket}",
        "acs:oss:*:${local.account}:${var.bucket}/*",
      ]
      Condition = { Bool = { "acs:SecureTransport" = ["false"] } }
    }]
  })
}

# Names of projects are shared by all accounts of a region.
resource "alicloud_log_project" "archiver" {
  project_name = "${var.name}-${local.account}"
  description  = "Logs of the function that archives consoles"
}

resource "alicloud_log_store" "archiver" {
  project_name     = alicloud_log_project.archiver.project_name
  logstore_name    = "function"
  retention_period = var.log_retention_days
  shard_count      = 1
}

# Without an index, lines are kept but not found.
resource "alicloud_log_store_index" "archiver" {
  project  = alicloud_log_project.archiver.project_name
  logstore = alicloud_log_store.archiver.logstore_name

  full_text {
    case_sensitive = false
    token          = " #$^*\r\n\t,:;'\"()[]{}<>=?/\\@&"
  }
}

resource "alicloud_ram_role" "archiver" {
  role_name   = var.name
  description = "Reads console outputs and stores them in the archive"
  assume_role_policy_document = jsonencode({
    Version = "1"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = ["fc.aliyuncs.com"] }
    }]
  })
}

resource "alicloud_ram_policy" "archiver" {
  policy_name = var.name
  description = "Lets the function read consoles, store records and write its own log"
  policy_document = jsonencode({
    Version = "1"
    Statement = [
      {
        Effect = "Allow"
        Action = "ecs:GetInstanceConsoleOutput"
        # `acs:ecs:*:…:instance/*`: every instance of the account, in every region, is what the product
        # is for.
        Resource = "acs:ecs:*:${local.account}:instance/*"
      },
      {
        Effect = "Allow"
        Action = ["ecs:DescribeInstances", "ecs:DescribeRegions"]
        # `*`: listings have no narrower resource; only a sweep asks for them.
        Resource = "*"
      },
      {
        Effect = "Allow"
        Action = "oss:PutObject"
        # `acs:oss:*:…:…/console/*`: it writes below its prefix; reading is for the people who run
        # console-archive. A bucket's region is not part of its name, so it stays open.
        Resource = "acs:oss:*:${local.account}:${var.bucket}/console/*"
      },
      {
        # Function Compute writes the function's log as the function's role.
        Effect   = "Allow"
        Action   = "log:PostLogStoreLogs"
        Resource = "acs:log:${local.region}:${local.account}:project/${alicloud_log_project.archiver.project_name}/logstore/${alicloud_log_store.archiver.logstore_name}"
      },
    ]
  })
}

resource "alicloud_ram_role_policy_attachment" "archiver" {
  role_name   = alicloud_ram_role.archiver.role_name
  policy_name = alicloud_ram_policy.archiver.policy_name
  policy_type = "Custom"
}

# For the people who run console-archive: attach it to their user or role.
resource "alicloud_ram_policy" "reader" {
  policy_name = "${var.name}-reader"
  description = "Lists and reads the archive"
  policy_document = jsonencode({
    Version = "1"
    Statement = [
      {
        Effect = "Allow"
        Action = "oss:ListObjects"
        # `acs:oss:*:…:…`: a bucket's region is not part of its name, so it stays open; of the bucket,
        # only `console/*`, what is below the prefix, is listed.
        Resource  = "acs:oss:*:${local.account}:${var.bucket}"
        Condition = { StringLike = { "oss:Prefix" = ["console/*"] } }
      },
      {
        Effect = "Allow"
        Action = "oss:GetObject"
        # `acs:oss:*:…:…/console/*`: every record, marker and failed event, whatever its name.
        Resource = "acs:oss:*:${local.account}:${var.bucket}/console/*"
      },
    ]
  })
}

# Redriving serves an event as the function does, so it takes that policy and the reader's, too.
resource "alicloud_ram_policy" "redrive" {
  policy_name = "${var.name}-redrive"
  description = "Removes failed events that were replayed"
  policy_document = jsonencode({
    Version = "1"
    Statement = [{
      Effect = "Allow"
      Action = "oss:DeleteObject"
      # `acs:oss:*:…:…/console/failed/*`: failed events only, whatever their names; records are
      # removed by the bucket alone.
      Resource = "acs:oss:*:${local.account}:${var.bucket}/console/failed/*"
    }]
  })
}

resource "alicloud_fcv3_function" "archiver" {
  function_name = var.name
  description   = "Stores console outputs of ECS instances"
  runtime       = "custom.debian12"
  handler       = "bootstrap"
  cpu           = 0.1
  memory_size   = 128
  disk_size     = 512
  # It waits for consoles to settle, and a minute more.
  timeout              = var.follow_seconds + 60
  instance_concurrency = 20
  internet_access      = true
  role                 = alicloud_ram_role.archiver.arn

  code {
    zip_file = filebase64(local.package)
  }

  custom_runtime_config {
    command = ["/code/bootstrap"]
    port    = 9000
  }

  log_config {
    project  = alicloud_log_project.archiver.project_name
    logstore = alicloud_log_store.archiver.logstore_name
    # A line is an entry: none of them begins with a date to split at.
    log_begin_rule          = "None"
    enable_request_metrics  = true
    enable_instance_metrics = false
  }

  environment_variables = {
    ARCHIVE_URL             = "oss://${alicloud_oss_bucket.archive.bucket}/console?region=${local.region}"
    AWS_ENDPOINT_URL_S3     = "https://s3.oss-${local.region}-internal.aliyuncs.com"
    ALIBABA_CLOUD_REGION_ID = local.region
    FOLLOW_SECONDS          = tostring(var.follow_seconds)
  }

  # The role must be able to write the log before anything is logged.
  depends_on = [alicloud_ram_role_policy_attachment.archiver]
}

# There is no destination for failures: the function itself keeps events that fail below failed/,
# where console-archive redrive finds them, and nothing here reads a queue. What fails before it
# can keep anything is told by the alarms and mended by a sweep.
resource "alicloud_fcv3_async_invoke_config" "archiver" {
  function_name                  = alicloud_fcv3_function.archiver.function_name
  max_async_retry_attempts       = 3
  max_async_event_age_in_seconds = 3600
}

resource "alicloud_fcv3_trigger" "events" {
  for_each      = local.rules
  function_name = alicloud_fcv3_function.archiver.function_name
  trigger_name  = each.key
  trigger_type  = "eventbridge"
  qualifier     = "LATEST"
  trigger_config = jsonencode({
    triggerEnable          = true
    asyncInvocationType    = true
    eventRuleFilterPattern = jsonencode(each.value)
    eventSourceConfig      = { eventSourceType = "Default" }
    eventSinkConfig = {
      deliveryOption = { mode = "event-driven", eventSchema = "CloudEvents" }
    }
    runOptions = {
      mode            = "event-driven"
      errorsTolerance = "ALL"
      retryStrategy   = { PushRetryStrategy = "EXPONENTIAL_DECAY_RETRY" }
    }
  })
}

resource "alicloud_fcv3_trigger" "sweep" {
  count         = length(var.sweep_regions) > 0 ? 1 : 0
  function_name = alicloud_fcv3_function.archiver.function_name
  trigger_name  = "sweep"
  trigger_type  = "timer"
  qualifier     = "LATEST"
  trigger_config = jsonencode({
    enable         = true
    cronExpression = "@every 24h"
    payload        = jsonencode({ sweep = { regions = var.sweep_regions } })
  })
}

locals {
  alarms = {
    # Invocations fail; the log says which error type.
    errors = { metric = "FunctionFunctionErrors", times = 3 }
    # Events waited for longer than they may and were dropped; a sweep finds what is left.
    dropped = { metric = "FunctionAsyncEventExpiredDropped", times = 1 }
  }
}

resource "alicloud_cms_alarm" "archiver" {
  for_each = { for name, alarm in local.alarms : name => alarm if var.alarm_contact_group != "" }
  name     = "${var.name}-${each.key}"
  project  = "acs_fc"
  metric   = each.value.metric
  metric_dimensions = jsonencode([{
    region       = local.region
    functionName = alicloud_fcv3_function.archiver.function_name
  }])
  # Function Compute's metrics have one value a minute, which is its own average.
  period         = 60
  contact_groups = [var.alarm_contact_group]

  escalations_critical {
    statistics          = "Average"
    comparison_operator = ">"
    threshold           = "0"
    times               = each.value.times
  }
}
