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

variable "bucket" {
  description = "Name of the bucket to create"
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.bucket))
    error_message = "bucket must be 3 to 63 lower-case letters, digits and hyphens, without dots."
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

variable "log_retention_days" {
  description = "Days after which the function's log lines are removed"
  type        = number
  default     = 30

  validation {
    condition     = var.log_retention_days >= 1 && var.log_retention_days <= 3650 && floor(var.log_retention_days) == var.log_retention_days
    error_message = "log_retention_days must be a whole number from 1 to 3650."
  }
}

variable "alarm_contact_group" {
  description = "CloudMonitor contact group that gets the alarms. Empty means that there are no alarms"
  type        = string
  default     = ""
}
