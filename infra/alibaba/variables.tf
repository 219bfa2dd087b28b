variable "region" {
  description = "Region of the deployment. If the provider's region is another one, an apply fails. null does not compare them"
  type        = string
  default     = null
}

variable "name" {
  description = "Name of the function, its role, its policies and its logs"
  type        = string
  default     = "ecs-console-archiver"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,38}[a-z0-9]$", var.name))
    error_message = "name must be 3 to 40 lower-case letters, digits and hyphens, and begin with a letter."
  }
}

variable "tags" {
  description = "Tags of everything that can have tags"
  type        = map(string)
  default     = {}
}

variable "bucket" {
  description = "Name of the bucket of the archive"
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.bucket))
    error_message = "bucket must be 3 to 63 lower-case letters, digits and hyphens, without dots."
  }
}

variable "create_bucket" {
  description = "Whether to create the bucket. false uses one that exists in this region, and changes nothing about it. It must not have versioning, and its lifecycle and policy are yours"
  type        = bool
  default     = true
}

variable "kms_key_id" {
  description = "ID of a key of this region in KMS that encrypts the bucket. Empty encrypts with OSS's own key. With create_bucket = false, the key that your bucket encrypts with"
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^[A-Za-z0-9-]*$", var.kms_key_id))
    error_message = "kms_key_id must be the ID of a key, without acs:kms:…:key/ before it."
  }
}

variable "redundancy" {
  description = "ZRS stores objects in several zones. LRS is for regions with a single zone"
  type        = string
  default     = "ZRS"

  validation {
    condition     = contains(["ZRS", "LRS"], var.redundancy)
    error_message = "redundancy must be ZRS or LRS."
  }
}

variable "package" {
  description = "Zip file with the program, bootstrap, at its root. null takes the one that `make package` builds"
  type        = string
  default     = null
}

variable "retention_days" {
  description = "Days after which records are removed"
  type        = number
  default     = 365

  validation {
    condition     = var.retention_days >= 30 && floor(var.retention_days) == var.retention_days
    error_message = "retention_days must be a whole number of 30 or more."
  }
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

variable "notify_urls" {
  description = "Addresses of chats and webhooks that are told of findings on consoles, with spaces between, as docs/notifications.md describes them. Empty for none"
  type        = string
  default     = ""
  sensitive   = true
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

variable "follow_seconds" {
  description = "Seconds for which the function asks for a console again after its event. 0 stores what ECS has at the event, and no more"
  type        = number
  default     = 300

  validation {
    condition     = var.follow_seconds >= 0 && var.follow_seconds <= 3600 && floor(var.follow_seconds) == var.follow_seconds
    error_message = "follow_seconds must be a whole number from 0 to 3600."
  }
}

variable "account_role_arn" {
  description = "Only for events of several accounts: ARN of a role that exists in each of them. {account} stands for the account of each event. Empty uses the function's own role"
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(acs:ram::([0-9]+|\\{account\\}):role/.+)?$", var.account_role_arn))
    error_message = "account_role_arn must look like acs:ram::{account}:role/NAME."
  }
}

variable "sweep_regions" {
  description = "Regions to sweep once a day, for what missed events left out. Empty for no sweep"
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for region in var.sweep_regions : can(regex("^[a-z0-9-]+$", region))])
    error_message = "Regions must be IDs such as cn-hangzhou."
  }
}

variable "central_bus" {
  description = "Whether a bus takes the events of other regions, which infra/regions.sh names"
  type        = bool
  default     = false
}

variable "scheduled_redrive" {
  description = "Whether failed events are served again every six hours, each at most ten times"
  type        = bool
  default     = false
}

variable "scheduled_compaction" {
  description = "Whether the catalog's rows of each day are joined once the day is over. Then questions about the fleet take few requests, and SQL sees them"
  type        = bool
  default     = false
}

variable "replay_queue" {
  description = "Whether the function serves the invocations that failed for good again, from their queue. Set it after the cause is fixed, and unset it when the queue is empty"
  type        = bool
  default     = false
}

variable "vpc_id" {
  description = "VPC to connect the function to, with vswitch_ids and security_group_id. Empty connects it to none"
  type        = string
  default     = ""
}

variable "vswitch_ids" {
  description = "vSwitches in that VPC, in zones that Function Compute is in"
  type        = list(string)
  default     = []
}

variable "security_group_id" {
  description = "Security group of the function in that VPC. It must allow HTTPS out"
  type        = string
  default     = ""
}

variable "internet_access" {
  description = "Whether the function reaches the internet through Function Compute. false needs a VPC, and reaches ECS of this region only"
  type        = bool
  default     = true
}

variable "log_retention_days" {
  description = "Days after which the function's log lines are removed"
  type        = number
  default     = 30

  validation {
    condition     = var.log_retention_days >= 1 && var.log_retention_days <= 3650 && floor(var.log_retention_days) == var.log_retention_days
    error_message = "log_retention_days must be a whole number from 1 to 3650."
  }
}

variable "existing_log_project" {
  description = "Project of Simple Log Service that exists, for the function's log. Empty creates one, with an index and a dashboard"
  type        = string
  default     = ""
}

variable "existing_log_store" {
  description = "Logstore in existing_log_project. Give it an index, with a field message for the heartbeat"
  type        = string
  default     = "function"
}

variable "alarm_contact_group" {
  description = "CloudMonitor contact group that gets the alarms. Empty means that there are no alarms, unless there is alarm_email"
  type        = string
  default     = ""
}

variable "alarm_email" {
  description = "E-mail address that gets the alarms, in place of alarm_contact_group. CloudMonitor sends it a link to confirm"
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^([^@ ]+@[^@ ]+)?$", var.alarm_email))
    error_message = "alarm_email must be an e-mail address."
  }
}

variable "alarm_statistics" {
  description = "Statistic of Function Compute's metrics. CloudMonitor's page on them says Value. If an apply says that the statistic is invalid, use Average"
  type        = string
  default     = "Value"

  validation {
    condition     = contains(["Value", "Average", "Sum", "Maximum"], var.alarm_statistics)
    error_message = "alarm_statistics must be Value, Average, Sum or Maximum."
  }
}

variable "heartbeat_days" {
  description = "Days without any event after which Simple Log Service alerts. 0 never does"
  type        = number
  default     = 0

  validation {
    condition     = var.heartbeat_days >= 0 && var.heartbeat_days <= 30 && floor(var.heartbeat_days) == var.heartbeat_days
    error_message = "heartbeat_days must be a whole number from 0 to 30."
  }
}

variable "findings_action_policy" {
  description = "ID of an action policy of Simple Log Service, which says whom to notify of fatal findings, and of boots that never came to their login prompt. Empty notifies nobody"
  type        = string
  default     = ""
}

variable "logins_not_reached_percent" {
  description = "Simple Log Service alerts if more than so many percent of an hour's boots never came to their login prompt. 0 never does. Needs findings_action_policy"
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

variable "heartbeat_action_policy" {
  description = "ID of an action policy of Simple Log Service, which says whom to notify. Needed with heartbeat_days"
  type        = string
  default     = ""
}
