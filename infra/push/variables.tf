variable "name" {
  description = "What the rules, the OIDC provider, the role and its policy are called"
  type        = string
  default     = "ecs-console-archiver"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,38}[a-z0-9]$", var.name))
    error_message = "The name must be 3 to 40 lower-case letters, digits and hyphens, with a letter first."
  }
}

variable "url" {
  description = "Address to push events to: the AWS stack's WebhookUrl, or that of another receiver"
  type        = string

  validation {
    condition     = can(regex("^https://[^/?#@]+", var.url))
    error_message = "The address must begin with https://, for the token goes with each push."
  }
}

variable "token" {
  description = "What the receiver has as WEBHOOK_TOKEN"
  type        = string
  sensitive   = true

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{32,128}$", var.token))
    error_message = "The token must be 32 to 128 letters, digits, hyphens and underscores."
  }
}

variable "dead_letter_queue_arn" {
  description = "Queue for events that could not be pushed for a day, such as acs:mns:REGION:ACCOUNT:/queues/NAME"
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(acs:(mns|mq):.+)?$", var.dead_letter_queue_arn))
    error_message = "The queue must be named by its ARN, acs:mns:… or acs:mq:…."
  }
}

variable "aws_issuer_url" {
  description = "Issuer of the AWS account, as aws iam get-outbound-web-identity-federation-info tells; none for other receivers, and for every region but the first"
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(https://.+)?$", var.aws_issuer_url))
    error_message = "The issuer must be an address that begins with https://."
  }
}

variable "aws_issuer_fingerprints" {
  description = "SHA-1 fingerprints of the certificate authorities of the issuer's HTTPS address"
  type        = list(string)
  default     = []

  validation {
    condition = length(var.aws_issuer_fingerprints) <= 5 && alltrue([
      for fingerprint in var.aws_issuer_fingerprints : can(regex("^[0-9A-Fa-f]{40}$", fingerprint))
    ])
    error_message = "There must be at most five fingerprints, of 40 hexadecimal digits each."
  }
}

variable "aws_audience" {
  description = "What the AWS stack has as AlibabaOidcAudience"
  type        = string
  default     = "sts.aliyuncs.com"
}

variable "aws_role_arn" {
  description = "Role of the function on AWS, the only one that may become the role here"
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(arn:aws[a-z-]*:iam::[0-9]{12}:role/.+)?$", var.aws_role_arn))
    error_message = "The role must be named by its ARN, arn:aws:iam::ACCOUNT:role/NAME."
  }
}
