variable "name" {
  description = "Name of the function, and what the names of all else begin with"
  type        = string
  default     = "ecs-console-archiver"

  validation {
    # The shortest limit is that of what a bucket's name begins with: 37 characters with the hyphen.
    condition     = can(regex("^[a-z][a-z0-9-]{0,34}[a-z0-9]$", var.name))
    error_message = "A name has 2 to 36 lower-case letters, digits and hyphens, begins with a letter and ends with no hyphen."
  }
}

variable "package" {
  description = "Zip file with the program, bootstrap, at its root; null for the one that `make package` makes"
  type        = string
  default     = null
}

variable "architecture" {
  description = "What the program in the package was built for"
  type        = string
  default     = "x86_64"

  validation {
    condition     = contains(["x86_64", "arm64"], var.architecture)
    error_message = "The architecture is x86_64 or arm64."
  }
}

variable "alibaba_role_arn" {
  description = "RAM role that trusts the OIDC provider; with it there is no Alibaba Cloud key at all"
  type        = string
  default     = null

  validation {
    condition     = var.alibaba_role_arn == null || can(regex("^acs:ram::([0-9]+|\\{account\\}):role/.+$", var.alibaba_role_arn))
    error_message = "A RAM role's ARN is like acs:ram::123456789012:role/NAME, or acs:ram::{account}:role/NAME for the account of each event."
  }
}

variable "alibaba_oidc_provider_arn" {
  description = "RAM OIDC provider whose issuer is the AWS account's"
  type        = string
  default     = null

  validation {
    condition     = var.alibaba_oidc_provider_arn == null || can(regex("^acs:ram::([0-9]+|\\{account\\}):oidc-provider/.+$", var.alibaba_oidc_provider_arn))
    error_message = "An OIDC provider's ARN is like acs:ram::123456789012:oidc-provider/NAME."
  }
}

variable "alibaba_oidc_audience" {
  description = "Client ID of the OIDC provider"
  type        = string
  default     = "sts.aliyuncs.com"
}

variable "alibaba_access_key_id" {
  description = "Where there is no such role, an access key that may read consoles and nothing else"
  type        = string
  default     = null
  sensitive   = true

  validation {
    condition     = var.alibaba_access_key_id != ""
    error_message = "An access key's ID is not empty; leave it out where there is none."
  }
}

variable "alibaba_access_key_secret" {
  description = "Its secret"
  type        = string
  default     = null
  sensitive   = true

  validation {
    condition     = var.alibaba_access_key_secret != ""
    error_message = "An access key's secret is not empty; leave it out where there is none."
  }
}

variable "alibaba_region_id" {
  description = "Region of instances whose events name none"
  type        = string
  default     = "cn-hangzhou"
}

variable "webhook_token" {
  description = "Token that EventBridge sends with each push, known before anything is created; with it the function has a URL"
  type        = string
  default     = null
  sensitive   = true

  validation {
    condition     = var.webhook_token == null || can(regex("^[A-Za-z0-9_-]{32,128}(,[A-Za-z0-9_-]{32,128})?$", var.webhook_token))
    error_message = "The token has 32 to 128 letters, digits, hyphens and underscores; two of them have a comma between."
  }
}

variable "sweep_regions" {
  description = "Regions to sweep once a day, for what missed events left out"
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for region in var.sweep_regions : can(regex("^[a-z0-9-]+$", region))])
    error_message = "A region's ID has lower-case letters, digits and hyphens."
  }
}

variable "follow_seconds" {
  description = "How long a console is followed from its event on"
  type        = number
  default     = 300

  validation {
    condition     = var.follow_seconds >= 60 && var.follow_seconds <= 3600 && floor(var.follow_seconds) == var.follow_seconds
    error_message = "A console is followed for 60 to 3600 whole seconds."
  }
}

variable "retention_days" {
  description = "Days after which records expire; they are removed 30 days later"
  type        = number
  default     = 365

  validation {
    condition     = var.retention_days >= 30
    error_message = "Records are kept for at least 30 days."
  }
}

variable "object_lock_days" {
  description = "Days for which nobody can remove a record, in governance mode; 0 for none. Only at creation: with another value later Terraform would replace the bucket, and fails because it is not empty"
  type        = number
  default     = 0

  validation {
    condition     = var.object_lock_days >= 0
    error_message = "The days of Object Lock are 0 or more."
  }
}

variable "log_retention_days" {
  description = "Days after which log lines are removed"
  type        = number
  default     = 30

  validation {
    condition     = contains([7, 14, 30, 60, 90, 180, 365], var.log_retention_days)
    error_message = "The log is kept for 7, 14, 30, 60, 90, 180 or 365 days."
  }
}

variable "alarm_topic_arn" {
  description = "SNS topic that alarms go to"
  type        = string
  default     = null
}

variable "max_concurrency" {
  description = "Invocations at once, taken from the account's own limit; 0 for no limit of its own"
  type        = number
  default     = 0

  validation {
    condition     = var.max_concurrency >= 0
    error_message = "The invocations at once are 0 or more."
  }
}
