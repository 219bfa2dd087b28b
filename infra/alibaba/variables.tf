variable "name" {
  description = "What the function, its role, its policies and its logs are called"
  type        = string
  default     = "ecs-console-archiver"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,38}[a-z0-9]$", var.name))
    error_message = "The name must be 3 to 40 lower-case letters, digits and hyphens, with a letter first."
  }
}

variable "bucket" {
  description = "Name of the bucket to create"
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.bucket))
    error_message = "The bucket's name must be 3 to 63 lower-case letters, digits and hyphens; no dots."
  }
}

variable "redundancy" {
  description = "ZRS keeps objects in several zones; LRS is for regions that have no more than one"
  type        = string
  default     = "ZRS"

  validation {
    condition     = contains(["ZRS", "LRS"], var.redundancy)
    error_message = "The redundancy must be ZRS or LRS."
  }
}

variable "package" {
  description = "Zip file with the program, bootstrap, at its root; where null, what make package builds"
  type        = string
  default     = null
}

variable "retention_days" {
  description = "Days after which records are removed"
  type        = number
  default     = 365

  validation {
    condition     = var.retention_days >= 30 && floor(var.retention_days) == var.retention_days
    error_message = "Records must be kept for 30 days or more."
  }
}

variable "follow_seconds" {
  description = "How long a console is followed from its event on"
  type        = number
  default     = 300

  validation {
    condition     = var.follow_seconds >= 60 && var.follow_seconds <= 3600 && floor(var.follow_seconds) == var.follow_seconds
    error_message = "Consoles must be followed for 60 to 3600 seconds."
  }
}

variable "sweep_regions" {
  description = "Regions to sweep once a day, for what missed events left out"
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for region in var.sweep_regions : can(regex("^[a-z0-9-]+$", region))])
    error_message = "The regions must be names such as cn-hangzhou."
  }
}

variable "log_retention_days" {
  description = "Days after which the function's log lines are removed"
  type        = number
  default     = 30

  validation {
    condition     = var.log_retention_days >= 1 && var.log_retention_days <= 3650 && floor(var.log_retention_days) == var.log_retention_days
    error_message = "Log lines must be kept for 1 to 3650 days."
  }
}

variable "alarm_contact_group" {
  description = "CloudMonitor contact group that alarms go to; without one there are none"
  type        = string
  default     = ""
}
