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

  # Whether there are addresses is not a secret.
  has_notices = nonsensitive(var.notify_urls != "")
  creates_log = var.existing_log_project == ""
  log_project = local.creates_log ? one(alicloud_log_project.archiver[*].project_name) : var.existing_log_project
  log_store   = local.creates_log ? one(alicloud_log_store.archiver[*].logstore_name) : var.existing_log_store

  # An address of the alarms' own, or a group that exists, or none.
  contact_group = var.alarm_email == "" ? var.alarm_contact_group : one(alicloud_cms_alarm_contact_group.alarms[*].alarm_contact_group_name)
  has_alarms    = var.alarm_email != "" || var.alarm_contact_group != ""

  # Where rules of other regions send events; regions.tf uses it.
  bus = { region = local.region, account = local.account, name = one(alicloud_event_bridge_event_bus.central[*].event_bus_name) }

  # Where the function sits in a VPC. Without an exit to the internet, it reaches the VPC's own addresses.
  is_in_vpc = var.vpc_id != ""

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
  count = var.create_bucket ? 1 : 0
  #checkov:skip=CKV_ALI_10: A versioned bucket ignores the header that protects objects from being replaced
  #checkov:skip=CKV_ALI_6: Encrypted with OSS's own key, or with the account's by kms_key_id
  #checkov:skip=CKV_ALI_11: The function is in the bucket's region, and acceleration uses a public endpoint
  #checkov:skip=CKV_ALI_12: ActionTrail logs who reads objects. A second bucket for access logs is the account's choice
  bucket          = var.bucket
  redundancy_type = var.redundancy
  tags            = var.tags

  server_side_encryption_rule {
    sse_algorithm     = var.kms_key_id == "" ? "AES256" : "KMS"
    kms_master_key_id = var.kms_key_id == "" ? null : var.kms_key_id
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
  count               = var.create_bucket ? 1 : 0
  bucket              = alicloud_oss_bucket.archive[0].bucket
  block_public_access = true
}

resource "alicloud_oss_bucket_policy" "archive" {
  count  = var.create_bucket ? 1 : 0
  bucket = alicloud_oss_bucket.archive[0].bucket
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
  count        = local.creates_log ? 1 : 0
  project_name = "${var.name}-${local.account}"
  description  = "Logs of the function that archives consoles"
  tags         = var.tags
}

resource "alicloud_log_store" "archiver" {
  count            = local.creates_log ? 1 : 0
  project_name     = alicloud_log_project.archiver[0].project_name
  logstore_name    = "function"
  retention_period = var.log_retention_days
  shard_count      = 1
}

# Without an index, lines are kept but cannot be found. With a field of its own, they can be counted, too.
resource "alicloud_log_store_index" "archiver" {
  count    = local.creates_log ? 1 : 0
  project  = alicloud_log_project.archiver[0].project_name
  logstore = alicloud_log_store.archiver[0].logstore_name

  full_text {
    case_sensitive = false
    token          = " #$^*\r\n\t,:;'\"()[]{}<>=?/\\@&"
  }

  # What the function writes. Function Compute adds the other fields, such as requestId.
  field_search {
    name             = "message"
    type             = "text"
    enable_analytics = true
    token            = " #$^*\r\n\t,:;'\"()[]{}<>=?/\\@&"
  }
}

# Invocations that failed for good: events that the function does not get to see after an internal error
# of Function Compute or without resources, which are not retried, and those that failed at each attempt.
# The function itself keeps the latter below failed/, too.
resource "alicloud_message_service_queue" "failed" {
  queue_name = "${var.name}-failed"
  # Seven days, the most there is.
  message_retention_period = 604800
  maximum_message_size     = 65536
  # As long as a time-out of the function, so that no message is served twice at once.
  visibility_timeout = 600
  tags               = var.tags
}

resource "alicloud_ram_role" "archiver" {
  role_name   = var.name
  description = "Reads console outputs and stores them in the archive"
  tags        = var.tags
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
  # RAM keeps five versions of a policy, and each change makes one.
  rotate_strategy = "DeleteOldestNonDefaultVersionWhenLimitExceeded"
  tags            = var.tags
  policy_document = jsonencode({
    Version = "1"
    Statement = concat([
      {
        Effect = "Allow"
        Action = ["ecs:GetInstanceConsoleOutput", "ecs:GetInstanceScreenshot"]
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
        Resource = "acs:log:${local.region}:${local.account}:project/${local.log_project}/logstore/${local.log_store}"
      },
      {
        # Function Compute sends what failed for good as the function's role.
        Effect   = "Allow"
        Action   = "mns:SendMessage"
        Resource = "acs:mns:${local.region}:${local.account}:/queues/${alicloud_message_service_queue.failed.queue_name}/messages"
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

# OSS encrypts and decrypts as whoever stores and reads, so readers need it as well.
resource "alicloud_ram_policy" "key" {
  count           = var.kms_key_id == "" ? 0 : 1
  policy_name     = "${var.name}-key"
  description     = "Encrypts and decrypts the archive with its key in KMS"
  rotate_strategy = "DeleteOldestNonDefaultVersionWhenLimitExceeded"
  tags            = var.tags
  policy_document = jsonencode({
    Version = "1"
    Statement = [{
      Effect   = "Allow"
      Action   = ["kms:GenerateDataKey", "kms:Decrypt"]
      Resource = "acs:kms:${local.region}:${local.account}:key/${var.kms_key_id}"
    }]
  })
}

resource "alicloud_ram_role_policy_attachment" "key" {
  count       = var.kms_key_id == "" ? 0 : 1
  role_name   = alicloud_ram_role.archiver.role_name
  policy_name = alicloud_ram_policy.key[0].policy_name
  policy_type = "Custom"
}

# Function Compute puts the function into the VPC as the function's role.
resource "alicloud_ram_policy" "network" {
  count           = local.is_in_vpc ? 1 : 0
  policy_name     = "${var.name}-network"
  description     = "Lets Function Compute connect the function to the VPC"
  rotate_strategy = "DeleteOldestNonDefaultVersionWhenLimitExceeded"
  tags            = var.tags
  policy_document = jsonencode({
    Version = "1"
    Statement = [{
      Effect = "Allow"
      Action = [
        "vpc:DescribeVSwitchAttributes",
        "ecs:CreateNetworkInterface",
        "ecs:CreateNetworkInterfacePermission",
        "ecs:DeleteNetworkInterface",
        "ecs:DescribeNetworkInterfaces",
        "ecs:DescribeNetworkInterfacePermissions",
      ]
      # `*`: as in Function Compute's own policy for this. The interfaces do not exist yet.
      Resource = "*"
    }]
  })
}

resource "alicloud_ram_role_policy_attachment" "network" {
  count       = local.is_in_vpc ? 1 : 0
  role_name   = alicloud_ram_role.archiver.role_name
  policy_name = alicloud_ram_policy.network[0].policy_name
  policy_type = "Custom"
}

resource "alicloud_ram_policy" "function_redrive" {
  count           = var.scheduled_redrive ? 1 : 0
  policy_name     = "${var.name}-function-redrive"
  description     = "Lets the function take failed events and remove them"
  rotate_strategy = "DeleteOldestNonDefaultVersionWhenLimitExceeded"
  tags            = var.tags
  policy_document = jsonencode({
    Version = "1"
    Statement = [
      {
        Effect = "Allow"
        Action = "oss:ListObjects"
        # `acs:oss:*:…:…`: a bucket's region is not part of its name, so it stays open. Only
        # `console/failed/*`, the keys of failed events, can be listed.
        Resource  = "acs:oss:*:${local.account}:${var.bucket}"
        Condition = { StringLike = { "oss:Prefix" = ["console/failed/*"] } }
      },
      {
        Effect = "Allow"
        Action = ["oss:GetObject", "oss:DeleteObject"]
        # `acs:oss:*:…:…/console/failed/*`: only failed events, whatever their names.
        Resource = "acs:oss:*:${local.account}:${var.bucket}/console/failed/*"
      },
    ]
  })
}

resource "alicloud_ram_role_policy_attachment" "function_redrive" {
  count       = var.scheduled_redrive ? 1 : 0
  role_name   = alicloud_ram_role.archiver.role_name
  policy_name = alicloud_ram_policy.function_redrive[0].policy_name
  policy_type = "Custom"
}

resource "alicloud_ram_policy" "function_compaction" {
  count           = var.scheduled_compaction ? 1 : 0
  policy_name     = "${var.name}-function-compaction"
  description     = "Lets the function join the catalog's rows"
  rotate_strategy = "DeleteOldestNonDefaultVersionWhenLimitExceeded"
  tags            = var.tags
  policy_document = jsonencode({
    Version = "1"
    Statement = [
      {
        Effect = "Allow"
        Action = "oss:ListObjects"
        # `acs:oss:*:…:…`: a bucket's region is not part of its name, so it stays open. Only
        # `console/catalog/*`, the keys of the catalog, can be listed.
        Resource  = "acs:oss:*:${local.account}:${var.bucket}"
        Condition = { StringLike = { "oss:Prefix" = ["console/catalog/*"] } }
      },
      {
        Effect = "Allow"
        Action = ["oss:GetObject", "oss:DeleteObject"]
        # `acs:oss:*:…:…/console/catalog/*`: every row and every day, and no record.
        Resource = "acs:oss:*:${local.account}:${var.bucket}/console/catalog/*"
      },
    ]
  })
}

resource "alicloud_ram_role_policy_attachment" "function_compaction" {
  count       = var.scheduled_compaction ? 1 : 0
  role_name   = alicloud_ram_role.archiver.role_name
  policy_name = alicloud_ram_policy.function_compaction[0].policy_name
  policy_type = "Custom"
}

resource "alicloud_ram_policy" "function_notices" {
  count           = local.has_notices ? 1 : 0
  policy_name     = "${var.name}-function-notices"
  description     = "Lets the function remember what it has told"
  rotate_strategy = "DeleteOldestNonDefaultVersionWhenLimitExceeded"
  tags            = var.tags
  policy_document = jsonencode({
    Version = "1"
    Statement = [
      {
        Effect = "Allow"
        Action = "oss:ListObjects"
        # `acs:oss:*:…:…`: a bucket's region is not part of its name, so it stays open. Only
        # `console/notices/*`, the keys of notices, can be listed.
        Resource  = "acs:oss:*:${local.account}:${var.bucket}"
        Condition = { StringLike = { "oss:Prefix" = ["console/notices/*"] } }
      },
      {
        Effect = "Allow"
        Action = "oss:GetObject"
        # `acs:oss:*:…:…/console/notices/*`: every notice, and no record.
        Resource = "acs:oss:*:${local.account}:${var.bucket}/console/notices/*"
      },
    ]
  })
}

resource "alicloud_ram_role_policy_attachment" "function_notices" {
  count       = local.has_notices ? 1 : 0
  role_name   = alicloud_ram_role.archiver.role_name
  policy_name = alicloud_ram_policy.function_notices[0].policy_name
  policy_type = "Custom"
}

# Attach it to the user or role of the people who run console-archive.
resource "alicloud_ram_policy" "reader" {
  policy_name     = "${var.name}-reader"
  description     = "Lists and reads the archive, and has the function check itself"
  rotate_strategy = "DeleteOldestNonDefaultVersionWhenLimitExceeded"
  tags            = var.tags
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
      {
        # `acs:fc:…:…:functions/…/*`: at any of its versions.
        Effect = "Allow"
        Action = "fc:InvokeFunction"
        Resource = [
          "acs:fc:${local.region}:${local.account}:functions/${var.name}",
          "acs:fc:${local.region}:${local.account}:functions/${var.name}/*",
        ]
      },
    ]
  })
}

# Replaying serves an event as the function does, so it also needs the function's policy and the
# reader's.
resource "alicloud_ram_policy" "redrive" {
  policy_name     = "${var.name}-redrive"
  description     = "Removes failed events that were replayed"
  rotate_strategy = "DeleteOldestNonDefaultVersionWhenLimitExceeded"
  tags            = var.tags
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
  # Debian 12 is a preview, and in few regions. The program needs glibc 2.28 or later, which Debian 10 has.
  runtime     = "custom.debian10"
  handler     = "bootstrap"
  cpu         = 0.1
  memory_size = 128
  disk_size   = 512
  # Each look at a console is an invocation of its own. A sweep goes on in the next one.
  timeout              = 60
  instance_concurrency = 20
  internet_access      = var.internet_access
  role                 = alicloud_ram_role.archiver.arn
  tags                 = var.tags

  code {
    zip_file = filebase64(local.package)
  }

  custom_runtime_config {
    command = ["/code/bootstrap"]
    port    = 9000
  }

  dynamic "vpc_config" {
    for_each = local.is_in_vpc ? [var.vpc_id] : []
    content {
      vpc_id            = vpc_config.value
      vswitch_ids       = var.vswitch_ids
      security_group_id = var.security_group_id
    }
  }

  log_config {
    project  = local.log_project
    logstore = local.log_store
    # Each line is an entry, because no line begins with a date to split at.
    log_begin_rule          = "None"
    enable_request_metrics  = true
    enable_instance_metrics = false
  }

  environment_variables = merge(
    {
      ARCHIVE_URL             = "oss://${var.bucket}/console?region=${local.region}"
      AWS_ENDPOINT_URL_S3     = "https://s3.oss-${local.region}-internal.aliyuncs.com"
      ALIBABA_CLOUD_REGION_ID = local.region
      FOLLOW_SECONDS          = tostring(var.follow_seconds)
      FOLLOW_QUEUE_URL        = "fc://self"
      REDACT                  = var.redact
      SCREENSHOTS             = var.screenshots
    },
    var.account_role_arn == "" ? {} : {
      ALIBABA_CLOUD_ROLE_ARN = var.account_role_arn
    },
    local.has_notices ? {
      NOTIFY_URLS     = var.notify_urls
      NOTIFY_SEVERITY = var.notify_severity
    } : {},
    var.internet_access ? {} : {
      # {region} is the program's: a VPC reaches ECS and STS of its own region.
      ECS_ENDPOINT_URL                   = "https://ecs-vpc.{region}.aliyuncs.com"
      ALIBABA_CLOUD_STS_REGION           = local.region
      ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED = "true"
    },
  )

  lifecycle {
    precondition {
      condition     = local.is_in_vpc == (length(var.vswitch_ids) > 0) && local.is_in_vpc == (var.security_group_id != "")
      error_message = "Set vpc_id, vswitch_ids and security_group_id together, or none of them."
    }
    precondition {
      condition     = var.internet_access || local.is_in_vpc
      error_message = "Without internet_access, the function reaches ECS through a VPC. Set vpc_id, vswitch_ids and security_group_id."
    }
  }

  # The role must be able to write the log before the first log line, and the log needs its index before
  # it is searched. Function Compute checks the role and the VPC when it creates the function.
  depends_on = [
    alicloud_log_store_index.archiver,
    alicloud_oss_bucket.archive,
    alicloud_ram_role_policy_attachment.archiver,
    alicloud_ram_role_policy_attachment.key,
    alicloud_ram_role_policy_attachment.network,
  ]
}

resource "alicloud_fcv3_async_invoke_config" "archiver" {
  function_name            = alicloud_fcv3_function.archiver.function_name
  max_async_retry_attempts = 3
  # Six hours, because Function Compute retries throttled events for five.
  max_async_event_age_in_seconds = 21600

  # Function Compute checks that the role may send to it.
  destination_config {
    on_failure {
      destination = "acs:mns:${local.region}:${local.account}:/queues/${alicloud_message_service_queue.failed.queue_name}/messages"
    }
  }

  depends_on = [alicloud_ram_role_policy_attachment.archiver]
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

# Events of other regions. A rule there sends them to this bus (infra/regions.sh), because a bus carries only the
# events of its own region, and the default bus takes none of other buses. A rule here puts them into a queue,
# which the function takes them from: Function Compute's triggers know the default bus only.
resource "alicloud_event_bridge_event_bus" "central" {
  count          = var.central_bus ? 1 : 0
  event_bus_name = var.name
  description    = "Instance events of other regions, for the archiver of console outputs"

  lifecycle {
    precondition {
      condition     = var.internet_access
      error_message = "Without internet_access, the function reaches ECS of its own region only. So unset central_bus, or set internet_access."
    }
  }
}

resource "alicloud_message_service_queue" "events" {
  count      = var.central_bus ? 1 : 0
  queue_name = "${var.name}-events"
  # Seven days, the most there is.
  message_retention_period = 604800
  maximum_message_size     = 65536
  # As long as a time-out of the function, so that no message is served twice at once.
  visibility_timeout = 600
  tags               = var.tags
}

resource "alicloud_event_bridge_rule" "central" {
  count          = var.central_bus ? 1 : 0
  event_bus_name = alicloud_event_bridge_event_bus.central[0].event_bus_name
  rule_name      = "${var.name}-events"
  description    = "Puts instance events of other regions into the queue of the archiver of console outputs"
  # The rules that send to this bus choose the events.
  filter_pattern = jsonencode({ source = ["acs.ecs"] })

  targets {
    target_id           = "archiver"
    type                = "acs.mns.queue"
    endpoint            = "acs:mns:${local.region}:${local.account}:queues/${alicloud_message_service_queue.events[0].queue_name}"
    push_retry_strategy = "EXPONENTIAL_DECAY_RETRY"

    # The whole event. Without its envelope, its type and region would be lost.
    param_list {
      resource_key = "Body"
      form         = "ORIGINAL"
    }

    param_list {
      resource_key = "queue"
      form         = "CONSTANT"
      value        = alicloud_message_service_queue.events[0].queue_name
    }
  }
}

locals {
  # Queues that the function takes events from.
  queues = {
    central = { queue = one(alicloud_message_service_queue.events[*].queue_name), is_asynchronous = true, is_on = var.central_bus }
    # What failed for good, again. The invocation is synchronous, so what fails once more does not come back to
    # the queue: the function keeps it below failed/.
    failed = { queue = alicloud_message_service_queue.failed.queue_name, is_asynchronous = false, is_on = var.replay_queue }
  }
}

resource "alicloud_fcv3_trigger" "queues" {
  for_each      = { for name, queue in local.queues : name => queue if queue.is_on }
  function_name = alicloud_fcv3_function.archiver.function_name
  trigger_name  = each.key
  trigger_type  = "eventbridge"
  qualifier     = "LATEST"
  trigger_config = jsonencode({
    triggerEnable          = true
    asyncInvocationType    = each.value.is_asynchronous
    eventRuleFilterPattern = "{}"
    eventSourceConfig = {
      eventSourceType = "MNS"
      eventSourceParameters = {
        sourceMNSParameters = {
          RegionId  = local.region
          QueueName = each.value.queue
          # The program reads both forms.
          IsBase64Decode = false
        }
      }
    }
    eventSinkConfig = {
      deliveryOption = { mode = "event-driven", eventSchema = "CloudEvents" }
    }
    runOptions = {
      mode            = "event-driven"
      errorsTolerance = "ALL"
      retryStrategy   = { PushRetryStrategy = "BACKOFF_RETRY" }
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

resource "alicloud_fcv3_trigger" "redrive" {
  count         = var.scheduled_redrive ? 1 : 0
  function_name = alicloud_fcv3_function.archiver.function_name
  trigger_name  = "redrive"
  trigger_type  = "timer"
  qualifier     = "LATEST"
  trigger_config = jsonencode({
    enable         = true
    cronExpression = "@every 6h"
    payload        = jsonencode({ redrive = {} })
  })

  # The first redrive may come as soon as the trigger exists.
  depends_on = [alicloud_ram_role_policy_attachment.function_redrive]
}

resource "alicloud_fcv3_trigger" "compaction" {
  count         = var.scheduled_compaction ? 1 : 0
  function_name = alicloud_fcv3_function.archiver.function_name
  trigger_name  = "compact"
  trigger_type  = "timer"
  qualifier     = "LATEST"
  trigger_config = jsonencode({
    enable = true
    # At 02:00 UTC; the first number is seconds. A day is joined from 01:15 of the next one on.
    cronExpression = "0 0 2 * * *"
    payload        = jsonencode({ compact = {} })
  })

  # The first compaction may come as soon as the trigger exists.
  depends_on = [alicloud_ram_role_policy_attachment.function_compaction]
}

# CloudMonitor asks the address to confirm, and has it only then.
resource "alicloud_cms_alarm_contact" "alarms" {
  count              = var.alarm_email == "" ? 0 : 1
  alarm_contact_name = var.name
  describe           = "Alarms of the function that archives consoles"
  channels_mail      = var.alarm_email

  lifecycle {
    ignore_changes = [channels_mail]
    precondition {
      condition     = var.alarm_contact_group == ""
      error_message = "Set alarm_email or alarm_contact_group, not both."
    }
  }
}

resource "alicloud_cms_alarm_contact_group" "alarms" {
  count                    = var.alarm_email == "" ? 0 : 1
  alarm_contact_group_name = var.name
  describe                 = "Alarms of the function that archives consoles"
  contacts                 = [alicloud_cms_alarm_contact.alarms[0].alarm_contact_name]
}

locals {
  of_function = { region = local.region, functionName = alicloud_fcv3_function.archiver.function_name }
  of_queue = {
    userId = local.account
    region = local.region
    queue  = alicloud_message_service_queue.failed.queue_name
  }

  alarms = {
    # Invocations fail. The log says which errorType.
    errors = {
      project = "acs_fc", metric = "FunctionFunctionErrors", of = local.of_function, statistics = var.alarm_statistics
    }
    # Events waited too long and were dropped. A sweep captures what ECS still has.
    dropped = {
      project = "acs_fc", metric = "FunctionAsyncEventExpiredDropped", of = local.of_function, statistics = var.alarm_statistics
    }
    # Invocations failed for good. Their events are in the queue for seven days.
    failed = {
      project = "acs_mns_new", metric = "ActiveMessages", of = local.of_queue, statistics = "Maximum"
    }
  }
}

resource "alicloud_cms_alarm" "archiver" {
  for_each          = { for name, alarm in local.alarms : name => alarm if local.has_alarms }
  name              = "${var.name}-${each.key}"
  project           = each.value.project
  metric            = each.value.metric
  metric_dimensions = jsonencode([each.value.of])
  period            = 60
  # An hour. Without it, an alarm that goes on is silent for a day.
  silence_time   = 3600
  contact_groups = [local.contact_group]
  tags           = var.tags

  escalations_critical {
    statistics          = each.value.statistics
    comparison_operator = ">"
    threshold           = "0"
    # One minute is enough: a failure is rare, and its minute has no second one.
    times = 1
  }
}

# Silence is a failure, too: a rule that somebody removed raises no error. CloudMonitor has no metric for
# it, because a function that is not called has no values. event_id is in the log line of each event that
# EventBridge sent, and in none of a sweep's.
resource "alicloud_sls_alert" "heartbeat" {
  count        = var.heartbeat_days > 0 ? 1 : 0
  project_name = local.log_project
  alert_name   = "${var.name}-heartbeat"
  display_name = "No event for ${var.heartbeat_days} days"
  description  = "The function that archives consoles got no event for ${var.heartbeat_days} days"

  schedule {
    type     = "FixedRate"
    interval = "1h"
  }

  configuration {
    version         = "2.0"
    type            = "default"
    dashboard       = "internal-alert-analysis"
    auto_annotation = true
    send_resolved   = true
    no_data_fire    = true
    # Medium.
    no_data_severity = 6
    threshold        = 1

    query_list {
      store_type     = "log"
      region         = local.region
      project        = local.log_project
      store          = local.log_store
      query          = "event_id | select count(*) as events"
      time_span_type = "Relative"
      start          = "-${var.heartbeat_days}d"
      end            = "now"
    }

    group_configuration {
      type = "no_group"
    }

    severity_configurations {
      severity = 6
      eval_condition {
        condition       = "events < 1"
        count_condition = ""
      }
    }

    annotations {
      key   = "title"
      value = "No event for ${var.heartbeat_days} days"
    }

    annotations {
      key   = "desc"
      value = "Check the function's triggers, and the rules of EventBridge. Or no instance started or stopped."
    }

    policy_configuration {
      alert_policy_id  = "sls.builtin.dynamic"
      action_policy_id = var.heartbeat_action_policy
      repeat_interval  = "1d"
    }
  }

  lifecycle {
    precondition {
      condition     = var.heartbeat_action_policy != ""
      error_message = "With heartbeat_days, set heartbeat_action_policy to an action policy of Simple Log Service. It says whom to notify."
    }
    precondition {
      condition     = !local.creates_log || var.heartbeat_days <= var.log_retention_days
      error_message = "heartbeat_days must be at most log_retention_days, because the log is searched."
    }
  }
}

# The function logs a line for each finding in a stored console, with its severity and signature. Each signature is an
# alert of its own, so 10 000 machines with one panic are one message a day.
resource "alicloud_sls_alert" "findings" {
  count        = var.findings_action_policy == "" ? 0 : 1
  project_name = local.log_project
  alert_name   = "${var.name}-findings"
  display_name = "Machines that cannot go on"
  description  = "Consoles that the function stored show fatal findings"

  schedule {
    type     = "FixedRate"
    interval = "5m"
  }

  configuration {
    version         = "2.0"
    type            = "default"
    dashboard       = "internal-alert-analysis"
    auto_annotation = true
    send_resolved   = false
    no_data_fire    = false
    threshold       = 1

    query_list {
      store_type = "log"
      region     = local.region
      project    = local.log_project
      store      = local.log_store
      query = join(" ", [
        "finding and severity and fatal | select regexp_extract(message, 'signature=\"([^\"]+)', 1) as signature,",
        "count(distinct regexp_extract(message, 'instance_id=\"?([A-Za-z0-9-]+)', 1)) as instances,",
        "min(regexp_extract(message, 'instance_id=\"?([A-Za-z0-9-]+)', 1)) as instance",
        "from log where message like '%severity=\"fatal\"%' group by signature order by instances desc limit 100",
      ])
      time_span_type = "Relative"
      start          = "-6m"
      end            = "now"
    }

    group_configuration {
      type   = "custom"
      fields = ["signature"]
    }

    severity_configurations {
      # High.
      severity = 8
      eval_condition {
        condition       = "instances > 0"
        count_condition = ""
      }
    }

    annotations {
      key   = "title"
      value = "$${signature}"
    }

    annotations {
      key   = "desc"
      value = "$${instances} instances, such as $${instance}. `console-archive findings $${instance}` says what it means and what to do."
    }

    policy_configuration {
      alert_policy_id  = "sls.builtin.dynamic"
      action_policy_id = var.findings_action_policy
      repeat_interval  = "1d"
    }
  }
}

# The function logs a line for each boot whose console has settled. A machine that prints no prompt counts as one that
# never came to it, so this is about a share of the fleet.
resource "alicloud_sls_alert" "logins" {
  count        = var.logins_not_reached_percent > 0 ? 1 : 0
  project_name = local.log_project
  alert_name   = "${var.name}-logins"
  display_name = "Boots without a login prompt"
  description  = "More than ${var.logins_not_reached_percent} % of an hour's boots never came to their login prompt"

  schedule {
    type     = "FixedRate"
    interval = "15m"
  }

  configuration {
    version         = "2.0"
    type            = "default"
    dashboard       = "internal-alert-analysis"
    auto_annotation = true
    send_resolved   = false
    no_data_fire    = false
    threshold       = 1

    query_list {
      store_type = "log"
      region     = local.region
      project    = local.log_project
      store      = local.log_store
      query = join(" ", [
        "login and (reached or not_reached) | select count_if(message like '%login=\"not_reached\"%') as missed,",
        "count(*) as boots from log",
        "where message like '%login=\"reached\"%' or message like '%login=\"not_reached\"%'",
      ])
      time_span_type = "Relative"
      start          = "-1h"
      end            = "now"
    }

    group_configuration {
      type = "no_group"
    }

    severity_configurations {
      # High.
      severity = 8
      eval_condition {
        condition       = "boots >= ${var.logins_not_reached_minimum} && missed * 100 > boots * ${var.logins_not_reached_percent}"
        count_condition = ""
      }
    }

    annotations {
      key   = "title"
      value = "$${missed} of $${boots} boots never came to their login prompt"
    }

    annotations {
      key   = "desc"
      value = "Search the log for not_reached: each line has the instance. `console-archive report --boots` says how far each came, and why."
    }

    policy_configuration {
      alert_policy_id  = "sls.builtin.dynamic"
      action_policy_id = var.findings_action_policy
      repeat_interval  = "1d"
    }
  }

  lifecycle {
    precondition {
      condition     = var.findings_action_policy != ""
      error_message = "With logins_not_reached_percent, set findings_action_policy to an action policy of Simple Log Service. It says whom to notify."
    }
  }
}

locals {
  # Position and size in a grid that is ten wide; each is a query over the function's log.
  charts = [
    {
      title = "Consoles stored per hour", type = "bar", x = 0, y = 0, width = 5, x_axis = ["hour"], y_axis = ["consoles"]
      query = "stored | select date_format(date_trunc('hour', __time__), '%m-%d %H:00') as hour, count(*) as consoles from log where message like '%INFO stored%' group by hour order by hour limit 1000"
    },
    {
      title = "Failures by error type", type = "table", x = 5, y = 0, width = 5, x_axis = ["error_type"], y_axis = ["failures"]
      query = "error_type | select regexp_extract(message, 'error_type=\"?([A-Za-z]+)', 1) as error_type, count(*) as failures from log group by error_type order by failures desc limit 100"
    },
    {
      title = "Instances without a console, by reason", type = "table", x = 0, y = 5, width = 5, x_axis = ["reason"], y_axis = ["events"]
      query = "reason | select regexp_extract(message, 'reason=\"?([A-Za-z_]+)', 1) as reason, count(*) as events from log where message like '%no console of%' group by reason order by events desc limit 100"
    },
    {
      title = "Warnings and errors", type = "table", x = 5, y = 5, width = 5, x_axis = ["time"], y_axis = ["message"]
      query = "WARN or ERROR | select date_format(__time__, '%m-%d %H:%i:%s') as time, message from log order by __time__ desc limit 50"
    },
  ]
}

resource "alicloud_log_dashboard" "archiver" {
  count          = local.creates_log ? 1 : 0
  project_name   = alicloud_log_project.archiver[0].project_name
  dashboard_name = var.name
  display_name   = "Console archiver"
  char_list = jsonencode([for chart in local.charts : {
    title  = chart.title
    type   = chart.type
    action = {}
    search = {
      logstore = alicloud_log_store.archiver[0].logstore_name
      topic    = ""
      query    = chart.query
      start    = "-604800s"
      end      = "now"
    }
    display = {
      displayName = chart.title
      xAxis       = chart.x_axis
      yAxis       = chart.y_axis
      xPos        = chart.x
      yPos        = chart.y
      width       = chart.width
      height      = 5
    }
  }])

  depends_on = [alicloud_log_store_index.archiver]
}
