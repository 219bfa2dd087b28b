# Stores every console output of every ECS instance in an OSS bucket, on Alibaba Cloud only. EventBridge
# calls a function on Function Compute 3, which uses a RAM role and no key. README.md beside this file has
# the steps.
#
# The region is the provider's: ALIBABA_CLOUD_REGION, if you apply this folder by itself. A bus carries
# only the events of its own region; a sweep reaches instances elsewhere. Activate Function Compute,
# EventBridge, Simple Log Service and OSS in the account first, and open EventBridge's console once to
# create its role for Function Compute.

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

# Without a region, the provider takes a default of its own. In another region than before, an apply finds
# nothing, and would create everything anew.
data "alicloud_regions" "current" {
  current = true

  lifecycle {
    postcondition {
      condition     = var.region == null || self.regions[0].id == var.region
      error_message = "The provider's region is ${self.regions[0].id}, and the variable region is another one. Set ALIBABA_CLOUD_REGION, and select the region's workspace."
    }
  }
}

locals {
  account = data.alicloud_account.current.id
  region  = data.alicloud_regions.current.regions[0].id
  package = coalesce(var.package, "${path.module}/../../target/function.zip")

  # Two rules, because a pattern with data.state drops the system events, which have no state.
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

# Without versioning, because OSS ignores x-oss-forbid-overwrite in a versioned bucket.
resource "alicloud_oss_bucket" "archive" {
  #checkov:skip=CKV_ALI_10: A versioned bucket ignores the header that protects objects from being replaced
  #checkov:skip=CKV_ALI_6: Encrypted with OSS's own key. A key of its own is the account's choice
  #checkov:skip=CKV_ALI_11: The function is in the bucket's region, and acceleration uses a public endpoint
  #checkov:skip=CKV_ALI_12: ActionTrail logs who reads objects. A second bucket for access logs is the account's choice
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
      # `oss:*` of `*`, on `acs:oss:*:…:…` and `acs:oss:*:…:…/*` in it: denies every action of everyone
      # without TLS. A bucket's region is not part of its name.
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

# All accounts of a region share the names of projects.
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

# Without an index, lines are kept but cannot be found.
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
  description = "Lets the function read consoles, store records, invoke itself and write its own log"
  policy_document = jsonencode({
    Version = "1"
    Statement = concat([
      {
        Effect = "Allow"
        Action = "ecs:GetInstanceConsoleOutput"
        # `acs:ecs:*:…:instance/*`: the product is for every instance of the account, in every region.
        Resource = "acs:ecs:*:${local.account}:instance/*"
      },
      {
        Effect = "Allow"
        Action = ["ecs:DescribeInstances", "ecs:DescribeRegions"]
        # `*`: listings have no narrower resource, and only a sweep asks for them.
        Resource = "*"
      },
      {
        Effect = "Allow"
        Action = "oss:PutObject"
        # `acs:oss:*:…:…/console/*`: the function stores any key below its prefix. Only people who run
        # console-archive read. A bucket's region is not part of its name, so it stays open.
        Resource = "acs:oss:*:${local.account}:${var.bucket}/console/*"
      },
      {
        # Function Compute writes the function's log as the function's role.
        Effect   = "Allow"
        Action   = "log:PostLogStoreLogs"
        Resource = "acs:log:${local.region}:${local.account}:project/${alicloud_log_project.archiver.project_name}/logstore/${alicloud_log_store.archiver.logstore_name}"
      },
      {
        # `acs:fc:…:…:functions/…/*`: the function invokes itself, at any of its versions. The name is written
        # out, because the function needs the role before it exists.
        Effect = "Allow"
        Action = "fc:InvokeFunction"
        Resource = [
          "acs:fc:${local.region}:${local.account}:functions/${var.name}",
          "acs:fc:${local.region}:${local.account}:functions/${var.name}/*",
        ]
      },
      ], var.account_role_arn == "" ? [] : [
      {
        Effect = "Allow"
        Action = "sts:AssumeRole"
        # `*`: {account} stands for any account. Each role's own policy says who may assume it.
        Resource = replace(var.account_role_arn, "{account}", "*")
      },
    ])
  })
}

resource "alicloud_ram_role_policy_attachment" "archiver" {
  role_name   = alicloud_ram_role.archiver.role_name
  policy_name = alicloud_ram_policy.archiver.policy_name
  policy_type = "Custom"
}

# Attach it to the user or role of the people who run console-archive.
resource "alicloud_ram_policy" "reader" {
  policy_name = "${var.name}-reader"
  description = "Lists and reads the archive"
  policy_document = jsonencode({
    Version = "1"
    Statement = [
      {
        Effect = "Allow"
        Action = "oss:ListObjects"
        # `acs:oss:*:…:…`: a bucket's region is not part of its name, so it stays open. Only `console/*`,
        # the keys below the prefix, can be listed.
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

# Replaying serves an event as the function does, so it also needs the function's policy and the
# reader's.
resource "alicloud_ram_policy" "redrive" {
  policy_name = "${var.name}-redrive"
  description = "Removes failed events that were replayed"
  policy_document = jsonencode({
    Version = "1"
    Statement = [{
      Effect = "Allow"
      Action = "oss:DeleteObject"
      # `acs:oss:*:…:…/console/failed/*`: only failed events, whatever their names. Only the bucket's
      # lifecycle removes records.
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
  # Each look at a console is an invocation of its own. A sweep goes on in the next one.
  timeout              = 60
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
    # Each line is an entry, because no line begins with a date to split at.
    log_begin_rule          = "None"
    enable_request_metrics  = true
    enable_instance_metrics = false
  }

  environment_variables = merge(
    {
      ARCHIVE_URL             = "oss://${alicloud_oss_bucket.archive.bucket}/console?region=${local.region}"
      AWS_ENDPOINT_URL_S3     = "https://s3.oss-${local.region}-internal.aliyuncs.com"
      ALIBABA_CLOUD_REGION_ID = local.region
      FOLLOW_SECONDS          = tostring(var.follow_seconds)
      FOLLOW_QUEUE_URL        = "fc://self"
    },
    var.account_role_arn == "" ? {} : {
      ALIBABA_CLOUD_ROLE_ARN = var.account_role_arn
    },
  )

  # The role must be able to write the log before the first log line.
  depends_on = [alicloud_ram_role_policy_attachment.archiver]
}

# There is no destination for failures. The function itself keeps failed events below failed/, where
# console-archive redrive finds them, and nothing here reads a queue. The alarms report what fails before
# that, and a sweep captures what was missed.
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
    # Invocations fail. The log says which errorType.
    errors = { metric = "FunctionFunctionErrors", times = 3 }
    # Events waited too long and were dropped. A sweep captures what ECS still has.
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
  # Function Compute's metrics have one value a minute, so the average is that value.
  period         = 60
  contact_groups = [var.alarm_contact_group]

  escalations_critical {
    statistics          = "Average"
    comparison_operator = ">"
    threshold           = "0"
    times               = each.value.times
  }
}
