variable "name" {
  description = "Name of the OIDC provider. The names of the rules, the role and its policy begin with it"
  type        = string
  default     = "ecs-console-archiver"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,38}[a-z0-9]$", var.name))
    error_message = "name must be 3 to 40 lower-case letters, digits and hyphens, and begin with a letter."
  }
}

variable "region" {
  description = "Region of the first rules. If the provider's region is another one, an apply fails. null does not compare them"
  type        = string
  default     = null
}

variable "url" {
  description = "Address to send events to: the output WebhookUrl or webhook_url of infra/aws, or the address of another receiver"
  type        = string
}

variable "token" {
  description = "Token that the receiver has as WEBHOOK_TOKEN"
  type        = string
  sensitive   = true
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
}

variable "aws_issuer_url" {
  description = "Issuer of the AWS account, as aws iam get-outbound-web-identity-federation-info prints it. Empty for other receivers than infra/aws"
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(https://.+)?$", var.aws_issuer_url))
    error_message = "aws_issuer_url must begin with https://."
  }
}

variable "aws_issuer_fingerprints" {
  description = "SHA-1 fingerprints of the certificate authorities of aws_issuer_url, 40 hexadecimal digits each, at most five. The default is all of Amazon's roots, so a new certificate of the issuer changes nothing"
  type        = list(string)
  default = [
    "8DA7F965EC5EFC37910F1C6E59FDC1CC6A6EDE16", # Amazon Root CA 1
    "5A8CEF45D7A69859767A8C8B4496B578CF474B1A", # Amazon Root CA 2
    "0D44DD8C3C8C1A1A58756481E90F2E2AFFB3D26E", # Amazon Root CA 3
    "F6108407D6F8BB67980CC2E244C2EBAE1CEF63BE", # Amazon Root CA 4
    "925A8F8D2C6D04E0665F596AFF22D863E8256F3F", # Starfield Services Root Certificate Authority - G2
  ]

  validation {
    condition = length(var.aws_issuer_fingerprints) <= 5 && alltrue([
      for fingerprint in var.aws_issuer_fingerprints : can(regex("^[0-9A-Fa-f]{40}$", fingerprint))
    ])
    error_message = "aws_issuer_fingerprints must be at most five, of 40 hexadecimal digits each."
  }
}

variable "existing_oidc_provider" {
  description = "Name of an OIDC provider of aws_issuer_url that the account has already, because an issuer can have only one. Its client IDs must have aws_audience. Empty creates one"
  type        = string
  default     = ""
}

variable "aws_audience" {
  description = "Client ID of the OIDC provider, the same as AlibabaOidcAudience or alibaba_oidc_audience of infra/aws"
  type        = string
  default     = "sts.aliyuncs.com"
}

variable "aws_role_arn" {
  description = "ARN of the function's role on AWS: the output FunctionRoleArn or function_role_arn of infra/aws. No other role may assume the role here"
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^(arn:aws[a-z-]*:iam::[0-9]{12}:role/.+)?$", var.aws_role_arn))
    error_message = "aws_role_arn must be an ARN, arn:aws:iam::ACCOUNT:role/NAME."
  }
}
