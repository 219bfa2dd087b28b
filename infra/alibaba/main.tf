# Keeps every console output of every ECS instance in an OSS bucket, on Alibaba Cloud alone: the
# function on Function Compute 3, called by EventBridge, with a RAM role and no key.

terraform {
  required_version = ">= 1.3"
  required_providers {
    alicloud = {
      source  = "aliyun/alicloud"
      version = ">= 1.228.0"
    }
  }
}

variable "region" {
  description = "Region of the function, its bucket and the instances whose events name none"
  type        = string
  default     = "cn-hangzhou"
}

variable "bucket" {
  description = "Name of the bucket to create"
  type        = string
}

variable "package" {
  description = "Zip file with the program, bootstrap, at its root"
  type        = string
  default     = "../../target/function.zip"
}

variable "retention_days" {
  description = "Days after which records are removed"
  type        = number
  default     = 365
}

variable "follow_seconds" {
  description = "How long a console is followed from its event on"
  type        = number
  default     = 180
}

variable "sweep_regions" {
  description = "Regions to sweep once a day, for what missed events left out"
  type        = list(string)
  default     = []
}

provider "alicloud" {
  region = var.region
}

data "alicloud_account" "current" {}

locals {
  event_trigger = {
    triggerEnable       = true
    asyncInvocationType = true
    eventSourceConfig   = { eventSourceType = "Default" }
    eventSinkConfig = {
      deliveryOption = { mode = "event-driven", eventSchema = "CloudEvents" }
    }
    runOptions = {
      mode            = "event-driven"
      errorsTolerance = "ALL"
      retryStrategy   = { PushRetryStrategy = "EXPONENTIAL_DECAY_RETRY" }
    }
  }
}

# Without versioning: OSS honours x-oss-forbid-overwrite in such a bucket only.
resource "alicloud_oss_bucket" "archive" {
  bucket          = var.bucket
  redundancy_type = "ZRS"

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

resource "alicloud_ram_role" "archiver" {
  role_name   = "ecs-console-archiver"
  description = "Reads console outputs and writes them to the archive"
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
  policy_name = "ecs-console-archiver"
  policy_document = jsonencode({
    Version = "1"
    Statement = [
      {
        Effect = "Allow"
        Action = "ecs:GetInstanceConsoleOutput"
        # Every instance of the account: that is what the product is for.
        Resource = "acs:ecs:*:${data.alicloud_account.current.id}:instance/*"
      },
      {
        Effect = "Allow"
        Action = ["ecs:DescribeInstances", "ecs:DescribeRegions"]
        # Listings have no narrower resource; only a sweep asks for them.
        Resource = "*"
      },
      {
        Effect = "Allow"
        Action = "oss:PutObject"
        # It writes below its prefix; reading is for the people who run console-archive.
        Resource = "acs:oss:*:${data.alicloud_account.current.id}:${var.bucket}/console/*"
      },
    ]
  })
}

resource "alicloud_ram_role_policy_attachment" "archiver" {
  role_name   = alicloud_ram_role.archiver.role_name
  policy_name = alicloud_ram_policy.archiver.policy_name
  policy_type = "Custom"
}

resource "alicloud_fcv3_function" "archiver" {
  function_name = "ecs-console-archiver"
  description   = "Keeps console outputs of ECS instances"
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
    zip_file = filebase64(var.package)
  }

  custom_runtime_config {
    command = ["/code/bootstrap"]
    port    = 9000
  }

  environment_variables = {
    ARCHIVE_URL             = "oss://${alicloud_oss_bucket.archive.bucket}/console?region=${var.region}"
    AWS_ENDPOINT_URL_S3     = "https://s3.oss-${var.region}-internal.aliyuncs.com"
    ALIBABA_CLOUD_REGION_ID = var.region
    FOLLOW_SECONDS          = tostring(var.follow_seconds)
  }
}

resource "alicloud_fcv3_async_invoke_config" "archiver" {
  function_name                  = alicloud_fcv3_function.archiver.function_name
  max_async_retry_attempts       = 3
  max_async_event_age_in_seconds = 3600
}

# Two rules: a pattern with data.state would drop the system events, which have none.
resource "alicloud_fcv3_trigger" "state_changes" {
  function_name = alicloud_fcv3_function.archiver.function_name
  trigger_name  = "state-changes"
  trigger_type  = "eventbridge"
  qualifier     = "LATEST"
  trigger_config = jsonencode(merge(local.event_trigger, {
    eventRuleFilterPattern = jsonencode({
      source = ["acs.ecs"]
      type   = ["ecs:Instance:StateChange"]
      data   = { state = ["Stopping", "Starting", "Running"] }
    })
  }))
}

resource "alicloud_fcv3_trigger" "system_events" {
  function_name = alicloud_fcv3_function.archiver.function_name
  trigger_name  = "system-events"
  trigger_type  = "eventbridge"
  qualifier     = "LATEST"
  trigger_config = jsonencode(merge(local.event_trigger, {
    eventRuleFilterPattern = jsonencode({
      source = ["acs.ecs"]
      type = [
        "ecs:Instance:InstanceFailure.Reboot",
        "ecs:Instance:SystemFailure.Reboot",
        "ecs:Instance:SystemMaintenance.Reboot",
      ]
    })
  }))
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

output "function_name" {
  value = alicloud_fcv3_function.archiver.function_name
}

output "archive_url" {
  description = "What console-archive takes as ARCHIVE_URL"
  value       = "oss://${alicloud_oss_bucket.archive.bucket}/console?region=${var.region}"
}
