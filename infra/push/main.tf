# The Alibaba Cloud half of a deployment on AWS, or of any receiver of webhooks. It creates rules that
# send instance events to the receiver's address, and for AWS a role that its function assumes without
# a key.
#
# The rules here are of one region, the provider's: ALIBABA_CLOUD_REGION, if you apply this folder by itself. A
# bus carries only the events of its own region, so infra/regions.sh adds the rules of the others. README.md
# beside this file has the steps. Activate EventBridge in the account first.

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

locals {
  account = data.alicloud_account.current.id
  for_aws = var.aws_issuer_url == "" ? 0 : 1

  # Composed here, because not every version of the provider has it as an attribute.
  provider_names = var.existing_oidc_provider == "" ? alicloud_ims_oidc_provider.aws[*].oidc_provider_name : [var.existing_oidc_provider]
  provider_arns = [
    for name in slice(local.provider_names, 0, local.for_aws) : "acs:ram::${local.account}:oidc-provider/${name}"
  ]
}

module "rules" {
  source                = "../rules"
  name                  = var.name
  region                = var.region
  url                   = var.url
  token                 = var.token
  token_in_url          = var.token_in_url
  dead_letter_queue_arn = var.dead_letter_queue_arn
}

resource "alicloud_ims_oidc_provider" "aws" {
  count              = var.existing_oidc_provider == "" ? local.for_aws : 0
  oidc_provider_name = var.name
  description        = "Accepts tokens that an AWS account issues about its own roles"
  issuer_url         = var.aws_issuer_url
  client_ids         = [var.aws_audience]
  fingerprints       = var.aws_issuer_fingerprints
  # In hours. 1 is the minimum; the function's tokens are valid for minutes.
  issuance_limit_time = 1

  lifecycle {
    precondition {
      condition     = length(var.aws_issuer_fingerprints) > 0
      error_message = "With aws_issuer_url, set aws_issuer_fingerprints too, or leave them out for Amazon's."
    }
  }
}

resource "alicloud_ram_role" "aws" {
  count       = local.for_aws
  role_name   = "${var.name}-aws"
  description = "The function on AWS assumes it to read console outputs"
  assume_role_policy_document = jsonencode({
    Version = "1"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Federated = local.provider_arns }
      # Only one role of one AWS account, and only tokens that were issued for this use.
      Condition = {
        StringEquals = {
          "oidc:iss" = var.aws_issuer_url
          "oidc:aud" = var.aws_audience
          "oidc:sub" = var.aws_role_arn
        }
      }
    }]
  })

  lifecycle {
    precondition {
      condition     = var.aws_role_arn != ""
      error_message = "With aws_issuer_url, set aws_role_arn too."
    }
  }
}

resource "alicloud_ram_policy" "aws" {
  count       = local.for_aws
  policy_name = "${var.name}-aws"
  description = "Reads console outputs. The archive is on AWS"
  # RAM keeps five versions of a policy, and each change makes one.
  rotate_strategy = "DeleteOldestNonDefaultVersionWhenLimitExceeded"
  policy_document = jsonencode({
    Version = "1"
    Statement = [
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
    ]
  })
}

resource "alicloud_ram_role_policy_attachment" "aws" {
  count       = local.for_aws
  role_name   = alicloud_ram_role.aws[0].role_name
  policy_name = alicloud_ram_policy.aws[0].policy_name
  policy_type = "Custom"
}
