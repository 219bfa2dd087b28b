variable "name" {
  description = "The names of the rules begin with it"
  type        = string
  default     = "ecs-console-archiver"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,38}[a-z0-9]$", var.name))
    error_message = "name must be 3 to 40 lower-case letters, digits and hyphens, and begin with a letter."
  }
}

variable "region" {
  description = "Region of the rules. If the provider's region is another one, an apply fails. null does not compare them"
  type        = string
  default     = null
}

variable "url" {
  description = "Address to send events to: the output WebhookUrl or webhook_url of infra/aws, or the address of another receiver"
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(https://[^/?#@]+.*)?$", var.url))
    error_message = "url must begin with https://, because the token goes with each event."
  }
}

variable "token" {
  description = "Token that the receiver has as WEBHOOK_TOKEN"
  type        = string
  sensitive   = true
  default     = ""

  validation {
    condition     = can(regex("^([A-Za-z0-9_-]{32,128})?$", var.token))
    error_message = "token must be 32 to 128 letters, digits, hyphens and underscores."
  }
}

variable "token_in_url" {
  description = "true: the token goes with each event as the last segment of the URL's path, and not as a header. For a rule whose events come without the header"
  type        = bool
  default     = false
}

variable "dead_letter_queue_arn" {
  description = "ARN of a queue of this region for its events that could not be sent for a day, such as acs:mns:REGION:ACCOUNT:/queues/NAME. Empty drops them"
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(acs:(mns|mq):.+)?$", var.dead_letter_queue_arn))
    error_message = "dead_letter_queue_arn must be an ARN, acs:mns:… or acs:mq:…."
  }
}

variable "bus" {
  description = "Custom bus that events go to, in place of url: its region, the ID of this account, and its name. It may be in another region"
  type = object({
    region  = string
    account = string
    name    = string
  })
  default = null

  validation {
    condition     = var.bus == null || try(var.bus.name, null) != null
    error_message = "bus has no name. In infra/alibaba, set central_bus = true."
  }
}
