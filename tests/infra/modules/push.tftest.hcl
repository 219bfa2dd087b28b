# What infra/push creates and refuses. tests/infra/modules.py runs it with a provider of our own.

variables {
  url   = "https://example.com/"
  token = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
}

run "the_rules_are_two_in_the_region_of_the_provider" {
  assert {
    condition     = toset(output.rule_names) == toset(["ecs-console-archiver-state-changes", "ecs-console-archiver-system-events"]) && output.region == "cn-hangzhou"
    error_message = "The rules are others."
  }
}

run "by_default_there_is_no_role" {
  assert {
    condition     = output.role_arn == null && output.oidc_provider_arn == null
    error_message = "There is a role for a receiver that is not on AWS."
  }
}

run "only_the_functions_role_on_aws_may_assume_the_role" {
  variables {
    aws_issuer_url          = "https://issuer.example.com"
    aws_issuer_fingerprints = ["0000000000000000000000000000000000000000"]
    aws_role_arn            = "arn:aws:iam::123456789012:role/archiver"
  }
  assert {
    condition = one(jsondecode(alicloud_ram_role.aws[0].assume_role_policy_document).Statement).Condition == {
      StringEquals = {
        "oidc:iss" = "https://issuer.example.com"
        "oidc:aud" = "sts.aliyuncs.com"
        "oidc:sub" = "arn:aws:iam::123456789012:role/archiver"
      }
    }
    error_message = "Others may assume the role."
  }
  assert {
    condition     = output.role_arn == "acs:ram::1234567890123456:role/ecs-console-archiver-aws"
    error_message = "The role is another one."
  }
  assert {
    condition     = output.oidc_provider_arn == "acs:ram::1234567890123456:oidc-provider/ecs-console-archiver"
    error_message = "The provider is another one."
  }
}

run "the_fingerprints_are_amazons_roots" {
  variables {
    aws_issuer_url = "https://issuer.example.com"
    aws_role_arn   = "arn:aws:iam::123456789012:role/archiver"
  }
  assert {
    condition     = length(alicloud_ims_oidc_provider.aws[0].fingerprints) == 5 && contains(alicloud_ims_oidc_provider.aws[0].fingerprints, "8DA7F965EC5EFC37910F1C6E59FDC1CC6A6EDE16")
    error_message = "A new certificate of the issuer locks the function out."
  }
  assert {
    condition     = alicloud_ram_policy.aws[0].rotate_strategy == "DeleteOldestNonDefaultVersionWhenLimitExceeded"
    error_message = "The sixth change of the policy fails."
  }
}

run "a_provider_that_exists_is_trusted_and_not_touched" {
  variables {
    aws_issuer_url         = "https://issuer.example.com"
    aws_role_arn           = "arn:aws:iam::123456789012:role/archiver"
    existing_oidc_provider = "aws"
  }
  assert {
    condition     = length(alicloud_ims_oidc_provider.aws) == 0
    error_message = "An issuer has two providers."
  }
  assert {
    condition     = output.oidc_provider_arn == "acs:ram::1234567890123456:oidc-provider/aws"
    error_message = "The provider is another one."
  }
  assert {
    condition     = one(one(jsondecode(alicloud_ram_role.aws[0].assume_role_policy_document).Statement).Principal.Federated) == "acs:ram::1234567890123456:oidc-provider/aws"
    error_message = "The role trusts another provider."
  }
}

# What is refused.

run "an_issuer_without_a_fingerprint_is_refused" {
  command = plan
  variables {
    aws_issuer_url          = "https://issuer.example.com"
    aws_issuer_fingerprints = []
    aws_role_arn            = "arn:aws:iam::123456789012:role/archiver"
  }
  expect_failures = [alicloud_ims_oidc_provider.aws]
}

run "an_issuer_without_a_role_is_refused" {
  command = plan
  variables {
    aws_issuer_url          = "https://issuer.example.com"
    aws_issuer_fingerprints = ["0000000000000000000000000000000000000000"]
  }
  expect_failures = [alicloud_ram_role.aws]
}

run "a_name_of_two_characters_is_refused" {
  command = plan
  variables {
    name = "ab"
  }
  expect_failures = [var.name]
}

run "an_issuer_without_tls_is_refused" {
  command = plan
  variables {
    aws_issuer_url = "http://issuer.example.com"
  }
  expect_failures = [var.aws_issuer_url]
}

run "a_sha256_fingerprint_is_refused" {
  command = plan
  variables {
    aws_issuer_fingerprints = ["0000000000000000000000000000000000000000000000000000000000000000"]
  }
  expect_failures = [var.aws_issuer_fingerprints]
}

run "six_fingerprints_are_refused" {
  command = plan
  variables {
    aws_issuer_fingerprints = [for digit in range(6) : format("%040d", digit)]
  }
  expect_failures = [var.aws_issuer_fingerprints]
}

run "a_role_of_alibaba_cloud_is_refused" {
  command = plan
  variables {
    aws_role_arn = "acs:ram::123456:role/archiver"
  }
  expect_failures = [var.aws_role_arn]
}
