variable "region" {
  description = "Region of the deployment. If the provider's region is another one, an apply fails. null does not compare them"
  type        = string
  default     = null
}

variable "name" {
  description = "Name of the function. The names of all other resources begin with it"
  type        = string
  default     = "ecs-console-archiver"

  validation {
    # The shortest limit is that of what a bucket's name begins with: 37 characters with the hyphen.
    condition     = can(regex("^[a-z][a-z0-9-]{0,34}[a-z0-9]$", var.name))
    error_message = "name must be 2 to 36 lower-case letters, digits and hyphens. It must begin with a letter and not end with a hyphen."
  }
}

variable "package" {
  description = "Zip file with the program, bootstrap, at its root. null takes the one that `make package` builds"
  type        = string
  default     = null
}

variable "package_bucket" {
  description = "Bucket in this region that has the zip file, in place of package"
  type        = string
  default     = null
}

variable "package_key" {
  description = "Key of the zip file in package_bucket. With another key, an apply changes the program"
  type        = string
  default     = null
}

variable "architecture" {
  description = "Architecture that the program in the package was built for"
  type        = string
  default     = "x86_64"

  validation {
    condition     = contains(["x86_64", "arm64"], var.architecture)
    error_message = "architecture must be x86_64 or arm64."
  }
}

variable "alibaba_role_arn" {
  description = "ARN of the RAM role that trusts the OIDC provider, so that the function needs no Alibaba Cloud key. {account} stands for the account of each event"
  type        = string
  default     = null

  validation {
    condition     = var.alibaba_role_arn == null || can(regex("^acs:ram::([0-9]+|\\{account\\}):role/.+$", var.alibaba_role_arn))
    error_message = "The ARN of a RAM role looks like acs:ram::123456789012:role/NAME, or acs:ram::{account}:role/NAME for the account of each event."
  }
}

variable "alibaba_oidc_provider_arn" {
  description = "ARN of the RAM OIDC provider whose issuer is this AWS account"
  type        = string
  default     = null

  validation {
    condition     = var.alibaba_oidc_provider_arn == null || can(regex("^acs:ram::([0-9]+|\\{account\\}):oidc-provider/.+$", var.alibaba_oidc_provider_arn))
    error_message = "The ARN of an OIDC provider looks like acs:ram::123456789012:oidc-provider/NAME."
  }
}

variable "alibaba_oidc_audience" {
  description = "Client ID of the OIDC provider"
  type        = string
  default     = "sts.aliyuncs.com"
}

variable "alibaba_access_key_id" {
  description = "Only without alibaba_role_arn: an access key that may read consoles and nothing else"
  type        = string
  default     = null
  sensitive   = true

  validation {
    condition     = var.alibaba_access_key_id != ""
    error_message = "The access key's ID is empty. Leave the variable out if there is no key."
  }
}

variable "alibaba_access_key_secret" {
  description = "Secret of alibaba_access_key_id"
  type        = string
  default     = null
  sensitive   = true

  validation {
    condition     = var.alibaba_access_key_secret != ""
    error_message = "The access key's secret is empty. Leave the variable out if there is no key."
  }
}

variable "alibaba_access_key_arn" {
  description = "ARN of the secret that has the access key, in place of alibaba_access_key_id and alibaba_access_key_secret. It exists before the first apply. If a member of its JSON is the key, name it as in ARN#MEMBER"
  type        = string
  default     = null

  validation {
    condition     = var.alibaba_access_key_arn == null || can(regex("^arn:[^:]+:(secretsmanager:[^:]+:[0-9]+:secret:|ssm:[^:]+:[0-9]+:parameter/)[A-Za-z0-9/_+=.@-]+(#.+)?$", var.alibaba_access_key_arn))
    error_message = "The ARN of a secret looks like arn:aws:secretsmanager:us-east-1:123456789012:secret:NAME-SUFFIX or arn:aws:ssm:us-east-1:123456789012:parameter/NAME."
  }
}

variable "alibaba_region_id" {
  description = "Region of instances whose events name none"
  type        = string
  default     = "cn-hangzhou"
}

variable "webhook_token" {
  description = "Token that Alibaba Cloud EventBridge sends with each event; two, separated by a comma, while one replaces the other. Choose it before the first apply. Without a token the function has no URL"
  type        = string
  default     = null
  sensitive   = true

  validation {
    condition     = var.webhook_token == null || can(regex("^[A-Za-z0-9_-]{32,128}(,[A-Za-z0-9_-]{32,128})?$", var.webhook_token))
    error_message = "A token must be 32 to 128 letters, digits, hyphens and underscores. Separate two tokens by a comma."
  }
}

variable "webhook_token_arn" {
  description = "ARN of the secret that has the token, in place of webhook_token. It exists before the first apply. If a member of its JSON is the token, name it as in ARN#MEMBER"
  type        = string
  default     = null

  validation {
    condition     = var.webhook_token_arn == null || can(regex("^arn:[^:]+:(secretsmanager:[^:]+:[0-9]+:secret:|ssm:[^:]+:[0-9]+:parameter/)[A-Za-z0-9/_+=.@-]+(#.+)?$", var.webhook_token_arn))
    error_message = "The ARN of a secret looks like arn:aws:secretsmanager:us-east-1:123456789012:secret:NAME-SUFFIX or arn:aws:ssm:us-east-1:123456789012:parameter/NAME."
  }
}

variable "notify_topic_arn" {
  description = "ARN of an Amazon SNS topic that is told of findings on consoles. null for none"
  type        = string
  default     = null

  validation {
    condition     = var.notify_topic_arn == null || can(regex("^arn:[^:]+:sns:[^:]+:[0-9]+:[A-Za-z0-9_-]+([.]fifo)?$", var.notify_topic_arn))
    error_message = "The ARN of a topic looks like arn:aws:sns:us-east-1:123456789012:NAME."
  }
}

variable "notify_urls_arn" {
  description = "ARN of the secret that has the addresses of chats and webhooks that are told, as docs/notifications.md describes them. It exists before the first apply. null for none"
  type        = string
  default     = null

  validation {
    condition     = var.notify_urls_arn == null || can(regex("^arn:[^:]+:(secretsmanager:[^:]+:[0-9]+:secret:|ssm:[^:]+:[0-9]+:parameter/)[A-Za-z0-9/_+=.@-]+(#.+)?$", var.notify_urls_arn))
    error_message = "The ARN of a secret looks like arn:aws:secretsmanager:us-east-1:123456789012:secret:NAME-SUFFIX or arn:aws:ssm:us-east-1:123456789012:parameter/NAME."
  }
}

variable "notify_severity" {
  description = "The least severity of findings that are told"
  type        = string
  default     = "error"

  validation {
    condition     = contains(["info", "warning", "error", "fatal"], var.notify_severity)
    error_message = "notify_severity must be info, warning, error or fatal."
  }
}

variable "secrets_kms_key_arn" {
  description = "ARN of the KMS key that encrypts these secrets, if it is a key of yours"
  type        = string
  default     = null

  validation {
    condition     = var.secrets_kms_key_arn == null || can(regex("^arn:[^:]+:kms:[^:]+:[0-9]+:key/[A-Za-z0-9-]+$", var.secrets_kms_key_arn))
    error_message = "The ARN of a key looks like arn:aws:kms:us-east-1:123456789012:key/ID. An alias is not enough."
  }
}

variable "sweep_regions" {
  description = "Alibaba Cloud regions to sweep once a day, for what missed events left out. Empty for no sweep"
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for region in var.sweep_regions : can(regex("^[a-z0-9-]+$", region))])
    error_message = "A region's ID must be lower-case letters, digits and hyphens, such as cn-hangzhou."
  }
}

variable "scheduled_redrive" {
  description = "Whether failed events are served again every six hours, until each was delivered 15 times in all"
  type        = bool
  default     = false
}

variable "scheduled_compaction" {
  description = "Whether the catalog's rows of each day are joined once the day is over. Then questions about the fleet take few requests, and SQL sees them"
  type        = bool
  default     = false
}

variable "catalog_table" {
  description = "Whether Athena gets a table of the catalog, and queries that ask it what operators ask"
  type        = bool
  default     = false
}

variable "redact" {
  description = "What becomes of passwords and keys on consoles. view masks them where console-archive shows a console, store before it is stored"
  type        = string
  default     = "view"

  validation {
    condition     = contains(["view", "store", "off"], var.redact)
    error_message = "redact must be view, store or off."
  }
}

variable "screenshots" {
  description = "When screenshots are taken. auto where a console says nothing or says that the machine failed, always with each event"
  type        = string
  default     = "auto"

  validation {
    condition     = contains(["auto", "always", "never"], var.screenshots)
    error_message = "screenshots must be auto, always or never."
  }
}

variable "follow_seconds" {
  description = "Seconds for which the function asks for a console again after its event. 0 stores what ECS has at the event, and no more"
  type        = number
  default     = 300

  validation {
    condition     = var.follow_seconds >= 0 && var.follow_seconds <= 3600 && floor(var.follow_seconds) == var.follow_seconds
    error_message = "follow_seconds must be a whole number from 0 to 3600."
  }
}

variable "retention_days" {
  description = "Days after which records expire. S3 removes them 30 days later. Not with existing_bucket"
  type        = number
  default     = 365

  validation {
    condition     = var.retention_days >= 30
    error_message = "retention_days must be 30 or more."
  }
}

variable "object_lock_days" {
  description = "Days for which nobody can remove a record (Object Lock in governance mode). 0 for none. Set it before the first apply: with another value later Terraform would replace the bucket, and fails because the bucket is not empty"
  type        = number
  default     = 0

  validation {
    condition     = var.object_lock_days >= 0
    error_message = "object_lock_days must be 0 or more."
  }
}

variable "existing_bucket" {
  description = "Name of a bucket of yours in this region that becomes the archive, below console/. The module changes nothing of it. null creates a bucket"
  type        = string
  default     = null

  validation {
    condition     = var.existing_bucket == null || can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.existing_bucket))
    error_message = "existing_bucket must be the name of a bucket, without s3:// and without a path."
  }
}

variable "kms_key_arn" {
  description = "ARN of a KMS key of yours in this region that encrypts the archive, the queues, the topic and the log. Its policy must let CloudWatch in. null takes the services' own keys"
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[^:]+:kms:[^:]+:[0-9]+:key/[A-Za-z0-9-]+$", var.kms_key_arn))
    error_message = "The ARN of a key looks like arn:aws:kms:us-east-1:123456789012:key/ID. An alias is not enough."
  }
}

variable "log_retention_days" {
  description = "Days after which log lines are removed"
  type        = number
  default     = 30

  validation {
    condition     = contains([7, 14, 30, 60, 90, 180, 365], var.log_retention_days)
    error_message = "log_retention_days must be 7, 14, 30, 60, 90, 180 or 365."
  }
}

variable "alarm_email" {
  description = "Address that gets the alarms. SNS first sends it a mail with a link that you must open"
  type        = string
  default     = null

  validation {
    condition     = var.alarm_email == null || can(regex("^[^@ ]+@[^@ ]+$", var.alarm_email))
    error_message = "alarm_email must be an address such as operators@example.com."
  }
}

variable "alarm_topic_arn" {
  description = "ARN of a topic of yours that gets the alarms, in place of alarm_email. null creates a topic"
  type        = string
  default     = null

  validation {
    condition     = var.alarm_topic_arn == null || can(regex("^arn:[^:]+:sns:[^:]+:[0-9]+:[^: ]+$", var.alarm_topic_arn))
    error_message = "The ARN of a topic looks like arn:aws:sns:us-east-1:123456789012:NAME."
  }
}

variable "heartbeat_days" {
  description = "Days without any event after which an alarm goes off. 0 for no such alarm"
  type        = number
  default     = 0

  validation {
    # CloudWatch looks back over seven days at most.
    condition     = var.heartbeat_days >= 0 && var.heartbeat_days <= 7 && floor(var.heartbeat_days) == var.heartbeat_days
    error_message = "heartbeat_days must be a whole number from 0 to 7."
  }
}

variable "logins_not_reached_percent" {
  description = "An alarm goes off if more than so many percent of an hour's boots never came to their login prompt. 0 for no such alarm"
  type        = number
  default     = 0

  validation {
    condition     = var.logins_not_reached_percent >= 0 && var.logins_not_reached_percent <= 99 && floor(var.logins_not_reached_percent) == var.logins_not_reached_percent
    error_message = "logins_not_reached_percent must be a whole number from 0 to 99."
  }
}

variable "logins_not_reached_minimum" {
  description = "Boots of an hour from which on logins_not_reached_percent counts"
  type        = number
  default     = 10

  validation {
    condition     = var.logins_not_reached_minimum >= 1 && floor(var.logins_not_reached_minimum) == var.logins_not_reached_minimum
    error_message = "logins_not_reached_minimum must be a whole number from 1 on."
  }
}

variable "rejected_requests_per_hour" {
  description = "An alarm goes off if more requests than this get status 4xx in an hour. A reboot has three events"
  type        = number
  default     = 2

  validation {
    condition     = var.rejected_requests_per_hour >= 0
    error_message = "rejected_requests_per_hour must be 0 or more."
  }
}

variable "max_concurrency" {
  description = "Most invocations at the same time, reserved from the account's limit; 12 or more. 0 reserves none"
  type        = number
  default     = 0

  validation {
    condition     = var.max_concurrency == 0 || (var.max_concurrency >= 12 && floor(var.max_concurrency) == var.max_concurrency)
    error_message = "max_concurrency must be 0, or 12 or more, because the queues alone take ten at the same time."
  }
}

variable "log_class" {
  description = "Class of the log group. INFREQUENT_ACCESS costs half, and can only be read by queries. Set it before the first apply"
  type        = string
  default     = "STANDARD"

  validation {
    condition     = contains(["STANDARD", "INFREQUENT_ACCESS"], var.log_class)
    error_message = "log_class must be STANDARD or INFREQUENT_ACCESS."
  }
}

variable "dashboard" {
  description = "Whether to create a dashboard in CloudWatch"
  type        = bool
  default     = true
}

variable "role_path" {
  description = "Path of the roles and policies, such as /teams/platform/"
  type        = string
  default     = "/"

  validation {
    condition     = can(regex("^/([!-~]+/)?$", var.role_path))
    error_message = "role_path must begin and end with a slash, such as /teams/platform/."
  }
}

variable "permissions_boundary_arn" {
  description = "ARN of a policy that limits the roles, where the account demands one"
  type        = string
  default     = null

  validation {
    condition     = var.permissions_boundary_arn == null || can(regex("^arn:[^:]+:iam::([0-9]+|aws):policy/.+$", var.permissions_boundary_arn))
    error_message = "The ARN of a policy looks like arn:aws:iam::123456789012:policy/NAME."
  }
}

variable "tags" {
  description = "Tags of everything that can have tags"
  type        = map(string)
  default     = {}
}

variable "subnet_ids" {
  description = "Subnets of a VPC that the function runs in. They need a way to the internet. Empty for no VPC"
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for id in var.subnet_ids : can(regex("^subnet-[0-9a-f]+$", id))])
    error_message = "The ID of a subnet looks like subnet-0123456789abcdef0."
  }
}

variable "security_group_ids" {
  description = "Security groups of the function in those subnets. They must let HTTPS out"
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for id in var.security_group_ids : can(regex("^sg-[0-9a-f]+$", id))])
    error_message = "The ID of a security group looks like sg-0123456789abcdef0."
  }
}
